//! Worst logits over the box alone, as interval bound propagation has them (Gowal et al. 2018, with the last layer's
//! differences taken before the bound): `D . (low + high)/2 + |D| . (high - low)/2` with D = w_j - w_y.

use candle_core::{D, Result, Tensor};

/// The rise `[B, C]` for differences `[B, C, features]`, `low` <= 0 <= `high` `[B, features]`.
pub fn margin_gap(differences: &Tensor, low: &Tensor, high: &Tensor) -> Result<Tensor> {
    let middle = ((low + high)? * 0.5)?.unsqueeze(1)?;
    let half = ((high - low)? * 0.5)?.unsqueeze(1)?;
    let moved = differences.broadcast_mul(&middle)?.sum(D::Minus1)?;
    moved + differences.abs()?.broadcast_mul(&half)?.sum(D::Minus1)?
}
