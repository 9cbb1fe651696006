//! Tensor operations that candle lacks or does too slowly, devices, the seeded generator.
//!
//! Each operation is a candle custom op: a form for the CPU here, a form for CUDA in `cuda_fwd`, and its gradient in
//! terms of operations of this same module. No function chooses a device: results live where their arguments do.

pub mod channels;
pub mod cholesky;
pub mod clip;
pub mod conv;
pub mod conv_cpu;
mod conv_device;
#[cfg(target_arch = "x86_64")]
pub mod conv_direct;
pub mod conv_matrix;
pub mod device;
#[cfg(target_arch = "x86_64")]
pub mod direct;
pub mod element;
pub mod elementwise;
pub mod error;
pub mod files;
pub mod fingerprint;
pub mod interrupt;
#[cfg(target_arch = "x86_64")]
pub mod interval;
pub mod interval_linear;
pub mod known;
pub mod labels;
pub mod linear;
pub mod memory;
pub mod random;
pub mod reduce;
pub mod row_norms;
pub mod tape;
pub mod threads;
pub mod unwritten;
