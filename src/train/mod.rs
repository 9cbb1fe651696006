//! Training primitives: losses, optimisers with their state in the open, the store of power-iteration vectors, attacks.
//! Schedules and loops are Rhai.

mod adam;
pub mod attack;
mod lookahead;
pub mod losses;
pub mod optimizer;
mod step_graph;
mod together;
pub mod vectors;

pub use attack::{AttackOptions, Objective, Schedule, Size, Start, pgd};
pub use lookahead::Lookahead;
pub use optimizer::{Optimizer, OptimizerKind};
pub use step_graph::{Asked, Found, LOSS, StepGraph};
pub use together::{Dealt, Over};
pub use vectors::{BatchVectors, Part, Vectors, VectorsOptions, WeakVectors, fresh_vectors};
