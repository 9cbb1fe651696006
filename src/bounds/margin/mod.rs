//! Worst logits, and margins that certify.

mod ball;
mod certified;
mod clip;
mod gap;
mod gpu;
mod interval;
mod solve;
mod sqrt;
mod verdict;
mod worst;

pub(super) use solve::{Rule, maximize};
pub(super) use sqrt::safe_sqrt;

pub use certified::certified_margins;
pub use verdict::{accuracy, correct, margins, one_hot};
pub use worst::{WorstMethod, worst_logits};
