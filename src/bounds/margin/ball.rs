//! Worst logits over the ball alone: `radius ||w_j - w_y||`.

use super::sqrt::safe_sqrt;
use candle_core::{D, Result, Tensor};

/// The rise `[B, C]` for differences `[B, C, features]` and radii `[B]`.
pub fn margin_gap(differences: &Tensor, radius: &Tensor) -> Result<Tensor> {
    safe_sqrt(&differences.sqr()?.sum(D::Minus1)?)?.broadcast_mul(&radius.unsqueeze(1)?)
}
