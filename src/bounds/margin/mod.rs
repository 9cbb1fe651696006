//! Worst logits, and margins that certify.

mod ball;
mod certified;
mod clip;
mod gap;
mod gpu;
mod interval;
mod sqrt;
mod verdict;
mod worst;
mod worst_solve;

pub(super) use sqrt::safe_sqrt;
pub(super) use worst_solve::{Rule, maximize};

pub use certified::certified_margins;
pub use verdict::{accuracy, correct, margins, one_hot};
pub use worst::{WorstMethod, worst_logits};
