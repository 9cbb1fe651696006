//! Tensor operations that candle lacks or does too slowly, devices, the seeded generator.
//!
//! Each operation is a candle custom op: a form for the CPU here, a form for CUDA in `cuda_fwd`, and its gradient in
//! terms of operations of this same module. No function chooses a device: results live where their arguments do.

pub mod channels;
pub mod clip;
pub mod conv;
pub mod conv_cpu;
mod conv_device;
pub mod device;
pub mod element;
pub mod error;
pub mod files;
pub mod interrupt;
pub mod known;
pub mod labels;
pub mod memory;
pub mod random;
pub mod reduce;
