//! Worst logits, and margins that certify.

mod ball;
mod certified;
mod clip;
mod gap;
mod gpu;
mod interval;
mod solve;
mod sqrt;
mod worst;

pub use certified::certified_margins;
pub use worst::{WorstMethod, worst_logits};
