//! A research workbench for certifiably robust neural networks.
//!
//! Rust holds what must be fast or exact; Rhai scripts (`stdlib/`, `scripts/`) hold what a researcher varies: the training
//! loop, the walk over the layers that makes the local bound, the product of the norms, schedules, losses, the evaluation.
//! They call primitives of about one layer's size.
//!
//! From the ground up: `base`, `compute`, `nn`, `bounds`, `train`, `data`, `run`, `show`, `report`, `script`, then `repl` and
//! `cli`; each uses only what comes before it (`tests/layering.rs` keeps it so).

pub mod base;
pub mod bounds;
pub mod cli;
pub mod compute;
pub mod data;
pub mod nn;
pub mod repl;
pub mod report;
pub mod run;
pub mod script;
pub mod show;
pub mod train;
