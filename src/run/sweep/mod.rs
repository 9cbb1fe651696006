//! A sweep: its plan, and what its points came to.

pub mod outcome;
mod plan;

pub use outcome::Outcome;
pub use plan::{Point, Set, Sweep, is_sweep};
