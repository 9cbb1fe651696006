//! A sweep: its plan.

mod plan;

pub use plan::{Point, Set, Sweep, is_sweep};
