//! Tensor operations that candle lacks or does too slowly, devices, the seeded generator.
//!
//! Each operation has a form for the CPU, one for CUDA in `fused` (small kernels) or `cuda` (cuDNN), and its gradient in
//! terms of operations of this same module. No function chooses a device: results live where their arguments do.

pub mod channels;
pub mod checked;
pub mod cholesky;
pub mod clip;
pub mod conv;
pub mod conv_cpu;
mod conv_device;
#[cfg(target_arch = "x86_64")]
pub mod conv_direct;
pub mod conv_into;
pub mod conv_matrix;
pub mod conv_ordered;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
#[cfg(target_arch = "x86_64")]
pub mod direct;
pub mod element;
pub mod elementwise;
pub mod error;
pub mod files;
pub mod fingerprint;
pub mod fused;
pub mod geometry;
pub mod interrupt;
#[cfg(target_arch = "x86_64")]
pub mod interval;
pub mod interval_linear;
pub mod kernels;
pub mod known;
pub mod labels;
pub mod linear;
pub mod memory;
pub mod order;
pub mod output;
pub mod precision;
pub mod random;
pub mod reduce;
pub mod row_norms;
pub mod tape;
pub mod threads;
pub mod unwritten;
