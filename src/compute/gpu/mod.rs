//! Small kernels of our own for CUDA: their sources, how an operation launches one, the device.

#[cfg(feature = "cuda")]
pub mod cuda;
mod launch;
mod source;

pub use launch::*;
pub use source::{Job, PRELUDE, Source, THREADS, WARPS};
