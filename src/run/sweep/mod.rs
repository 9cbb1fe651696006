//! A sweep: its plan, and what its points came to.

pub mod outcome;
pub mod plan;
