//! The check before a run: are the names right, are changes lost, can the run go on inside an epoch?

pub mod catches;
pub mod copies;
pub mod loop_state;
pub mod outline;
mod problems;

pub use problems::{problems, unused_settings};
