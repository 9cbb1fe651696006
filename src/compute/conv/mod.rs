//! The convolution and its two adjoints: on the CPU direct kernels or matrix products, on CUDA cuDNN.

mod conv2d;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
#[cfg(target_arch = "x86_64")]
pub mod direct;
pub mod geometry;
pub mod in_layout;
pub mod into;
pub mod matrix;

pub use conv2d::*;
pub use geometry::{Geometry, Window};
