//! Training primitives: losses, optimisers with their state in the open, the store of power-iteration vectors, attacks.
//! Schedules and loops are Rhai.

mod adam;
pub mod attack;
mod attack_rows;
mod attack_steps;
pub mod device_rows;
mod fresh;
pub mod losses;
pub mod optimizer;
pub mod places;
mod vector_buffer;
pub mod vectors;
mod vectors_saved;

pub use attack::{AttackOptions, Objective, Schedule, Size, Start, pgd};
pub use fresh::fresh_vectors;
pub use optimizer::{Optimizer, OptimizerKind};
pub use vectors::{BatchVectors, Vectors, VectorsOptions};
pub use vectors_saved::{Part, WeakVectors};
