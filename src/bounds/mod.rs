//! Bounds of one layer at a time: ball and box through it, its varying mask, its spectral norm; worst logits.
//!
//! The walk over the layers, the masks handed from one to the next, and the product of the norms (Algorithm 1 of Huang et
//! al., "Training Certifiably Robust Neural Networks with Efficient Local Lipschitz Bounds", NeurIPS 2021) are Rhai:
//! `stdlib/local_lip.rhai`.

pub mod certain;
pub mod execution;
pub mod norm;
pub mod outward;
mod power_cpu;
mod power_device;
#[cfg(target_arch = "x86_64")]
mod power_direct;
#[cfg(not(target_arch = "x86_64"))]
#[path = "power_indirect.rs"]
mod power_direct;
mod power_passes;
mod power_tensor;
pub mod region;
pub mod upper;
pub mod varying;
pub mod worst;
mod worst_ball;
mod worst_box;
mod worst_clip;
mod worst_device;
mod worst_rise;
mod worst_solve;

pub use certain::certified_margins;
pub use execution::Execution;
pub use norm::{
    Arithmetic, PowerOptions, SingularPair, SingularVectors, bf16_iterations, spectral_norm, spectral_norm_from,
};
pub use power_passes::{Start, layout_of};
pub use region::Region;
pub use upper::{Method as UpperMethod, NormBound, UpperOptions, factor_cost, norm_bound};
pub use varying::{share_varying, varying};
pub use worst::{WorstMethod, worst_logits};
