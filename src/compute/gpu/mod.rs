//! Small kernels of our own for CUDA: their sources, how an operation launches one, the device. An operation that has a kernel has
//! a form for other devices beside it. Nothing in a training step waits for the device (`tests/cuda_calls.rs` counts).

#[cfg(feature = "cuda")]
pub mod cuda;
mod launch;
pub mod recording;
mod source;

pub use launch::*;
pub use source::{Job, PRELUDE, Source, THREADS, WARPS};
