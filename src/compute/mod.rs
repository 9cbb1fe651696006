//! Tensor operations that candle lacks or does too slowly, a folder each, and what they stand on.
//!
//! Each operation has a form for the CPU, one for CUDA (`gpu` in its folder: small kernels; `cuda`: cuDNN), and its gradient in
//! terms of operations of this same module. No function chooses a device: results live where their arguments do. Sums over a
//! batch run in a fixed order, whatever the number of threads.
//!
//! Between layers activations lie plane by plane, `[B, C, H, W]`, so that every operation, and every script, sees ordinary
//! tensors. Kernels that want another form make it for themselves (`conv/direct`, `layout`).

pub mod arrays;
pub mod autograd;
pub mod checked;
pub mod cholesky;
pub mod collective;
pub mod conv;
pub mod device;
pub mod element;
pub mod elementwise;
pub mod frequency;
pub mod gpu;
pub mod inverse;
pub mod labels;
pub mod layout;
pub mod linear;
pub mod losses;
mod median;
pub mod norms;
pub mod numbers;
pub mod orthogonal;
pub mod power;
pub mod precision;
pub mod region;
pub mod relaxed;
#[cfg(target_arch = "x86_64")]
pub mod simd;
pub mod tensor_files;
pub mod unwritten;
pub mod variables;

pub use median::median;
