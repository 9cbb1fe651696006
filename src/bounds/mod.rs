//! Bounds of one layer at a time: ball and box through it, its varying mask, its spectral norm; worst logits.
//!
//! The walk over the layers, the masks handed from one to the next, and the product of the norms (Algorithm 1 of Huang et
//! al., "Training Certifiably Robust Neural Networks with Efficient Local Lipschitz Bounds", NeurIPS 2021) are Rhai:
//! `stdlib/local_lip.rhai`.

pub mod claims;
pub mod execution;
pub mod margin;
pub mod norm;
pub mod outward;
pub mod region;
pub mod relax;
pub mod smoothing;
pub mod upper;
pub mod varying;

pub use execution::Execution;
pub use margin::{WorstMethod, accuracy, certified_margins, correct, margins, one_hot, worst_logits};
pub use norm::{
    Arithmetic, PowerOptions, SingularPair, SingularVectors, Start, bf16_iterations, in_halves, layout_of,
    spectral_norm, spectral_norm_from, spectral_norms,
};
pub use region::{Region, meet};
pub use relax::LinearBound;
pub use upper::{Method as UpperMethod, NormBound, UpperOptions, factor_cost, norm_bound};
pub use varying::{share_varying, unclipped, varying};
