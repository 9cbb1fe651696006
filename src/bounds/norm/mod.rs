//! The spectral norm of one affine layer, masked per sample: power iteration, an estimate from below.

mod cpu;
#[cfg(target_arch = "x86_64")]
mod direct;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_direct.rs"]
mod direct;
mod few_rows;
mod fixed_steps;
mod on_device;
mod options;
mod spectral;
mod tensor;
mod vectors;

pub use options::{Arithmetic, PowerOptions, bf16_iterations};
pub use spectral::{spectral_norm, spectral_norm_from, spectral_norms};
pub use vectors::{SingularPair, SingularVectors, Start, in_halves, layout_of};
