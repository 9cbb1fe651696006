//! What a bound on a norm comes to, and the square root that it takes.

use super::rounding::raised;

/// An upper and a lower bound on the norm of the scaled map, and the steps that it took.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub upper: f64,
    pub lower: f64,
    pub steps: u32,
}

/// A square root that is not below the exact one.
pub fn root(x: f64) -> f64 {
    raised(x, 2).sqrt().next_up()
}
