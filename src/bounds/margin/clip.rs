//! Worst logits by clip-and-enlarge, the published procedure
//!
//! ```text
//! start    d = radius D / ||D||
//! repeat   clip the coordinates of d that leave the box (they stay clipped), and enlarge the others by one common
//!          factor until ||d|| = radius again
//! value    D . d = sum over clipped D_i d_i + ||D_free|| sqrt(radius^2 - ||d_clipped||^2)
//! ```
//!
//! with D = w_j - w_y. After any number of iterations this is an upper bound of the maximum; with the last one no
//! coordinate leaves the box and it is the maximum. The value needs no division, so it holds for radius 0 as well, and
//! its gradient takes the set of clipped coordinates as constant.
//!
//! Published code divides, and adds a constant k = 1e-12 under its square roots; small radii suffer (-65 % at 1e-6).
//! For comparison with it, by a script's `constant: 1e-12`:
//! value = sum over clipped + (D . d_free) sqrt((left + k) / (||d_free||^2 + k)).

use super::sqrt::safe_sqrt;
use candle_core::{D, Result, Tensor};

/// The rise `[B, C]`: `differences` `[B, C, F]`, `low` <= 0 <= `high` `[B, F]`, `radius` `[B]`.
/// `constant` is k, 0 for the value without it.
pub fn margin_gap(
    differences: &Tensor,
    low: &Tensor,
    high: &Tensor,
    radius: &Tensor,
    iterations: usize,
    constant: f64,
) -> Result<Tensor> {
    let clipped = clipped(&differences.detach(), &low.detach(), &high.detach(), &radius.detach(), iterations)?;
    let (low, high, radius) = (low.unsqueeze(1)?, high.unsqueeze(1)?, radius.reshape(((), 1))?);
    let shape = differences.shape();
    let zero = differences.zeros_like()?.detach();
    // A clipped coordinate sits at the end of the box that D points to.
    let corner = differences.detach().gt(&zero)?.where_cond(&high.broadcast_as(shape)?, &low.broadcast_as(shape)?)?;
    let fixed = clipped.where_cond(&corner, &zero)?;
    let free = clipped.where_cond(&zero, differences)?;
    let fixed_squares = fixed.sqr()?.sum(D::Minus1)?;
    let left = radius.sqr()?.broadcast_sub(&fixed_squares)?;
    let free = free.sqr()?.sum(D::Minus1)?;
    let reach = if constant == 0.0 {
        (safe_sqrt(&free)? * safe_sqrt(&left)?)?
    } else {
        let whole = (differences.sqr()?.sum(D::Minus1)? + f64::from(f32::MIN_POSITIVE))?;
        let along = (safe_sqrt(&whole)?.recip()?.broadcast_mul(&radius)? * &free)?;
        let free_squares = (free.broadcast_mul(&radius.sqr()?)? / &whole)?;
        (along * ((left.relu()? + constant)? / (free_squares + constant)?)?.sqrt()?)?
    };
    (differences * fixed)?.sum(D::Minus1)? + reach
}

/// The coordinates that are clipped after `iterations` rounds, `[B, C, F]` u8.
fn clipped(d: &Tensor, low: &Tensor, high: &Tensor, radius: &Tensor, iterations: usize) -> Result<Tensor> {
    let (low, high) = (low.unsqueeze(1)?, high.unsqueeze(1)?);
    let squares = d.sqr()?;
    let radius_squared = radius.sqr()?.reshape(((), 1))?;
    let zero = d.zeros_like()?;
    let corner = d.gt(&zero)?.where_cond(&high.broadcast_as(d.shape())?, &low.broadcast_as(d.shape())?)?;
    let mut set = d.ones_like()?.gt(f64::INFINITY)?;
    for _ in 0..iterations {
        let free = set.where_cond(&zero, &squares)?.sum(D::Minus1)?;
        let fixed = set.where_cond(&corner.sqr()?, &zero)?.sum(D::Minus1)?;
        let left = radius_squared.broadcast_sub(&fixed)?.relu()?;
        // 0/0 where nothing is free: D is 0 there, or clipped, and no comparison with NaN adds to the set.
        let scale = (left / free)?.sqrt()?.unsqueeze(2)?;
        let point = d.broadcast_mul(&scale)?;
        let out = (point.broadcast_gt(&high)? + point.broadcast_lt(&low)?)?;
        let grown = (out + &set)?.gt(0u8)?;
        // The set only grows: once it stands still, further rounds change nothing.
        let news = (grown.to_dtype(candle_core::DType::F32)? - set.to_dtype(candle_core::DType::F32)?)?;
        set = grown;
        if iterations > 1 && news.sum_all()?.to_scalar::<f32>()? == 0.0 {
            break;
        }
    }
    Ok(set)
}
