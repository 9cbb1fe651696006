//! Linear lines of MaxMin, whose outputs hang on two inputs each: with d = p - q
//!
//! ```text
//! max(p, q) = q + max(d, 0)       min(p, q) = p - max(d, 0)
//! ls d <= max(d, 0) <= us d + uo   gives   q + ls d <= max(p, q) <= q + us d + uo,   p - us d - uo <= min(p, q) <= p - ls d
//! min(m, M), max(m, N)            their lines behind those of m: slopes are at least 0
//! ```

use super::activation::{Choice, Relaxation};
use super::lines::bent;
use crate::compute::elementwise::clip::{larger, smaller};
use candle_core::{Result, Tensor};

/// The lines over boxes `[B, C, ...]`, and with thresholds (most, least) those cut at them.
pub fn paired(
    lower: &Tensor,
    upper: &Tensor,
    thresholds: Option<(&Tensor, &Tensor)>,
    choice: &Choice,
) -> Result<Relaxation> {
    let ((lp, lq), (up, uq)) = (halves(lower)?, halves(upper)?);
    let (choice_top, choice_bottom) = (choice.half(0)?, choice.half(1)?);
    let (least, most) = ((&lp - &uq)?, (&up - &lq)?);
    let top = bent(&least, &most, 0.0, 1.0, &choice_top)?;
    // Below of the minimum is above of d's, so the free slope is asked of the other side.
    let turned = Choice { lower: choice_bottom.upper.clone(), upper: choice_bottom.lower.clone() };
    let bottom = bent(&least, &most, 0.0, 1.0, &turned)?;
    let rest = |slope: &Tensor| 1.0 - slope;
    let mut high = Relaxation {
        partners: Some([rest(&top.lower_slope)?, rest(&top.upper_slope)?]),
        lower_slope: top.lower_slope,
        lower_offset: top.lower_offset,
        upper_slope: top.upper_slope,
        upper_offset: top.upper_offset,
    };
    let mut low = Relaxation {
        partners: Some([rest(&bottom.upper_slope)?, rest(&bottom.lower_slope)?]),
        lower_offset: bottom.upper_offset.neg()?,
        lower_slope: bottom.upper_slope,
        upper_offset: bottom.lower_offset.neg()?,
        upper_slope: bottom.lower_slope,
    };
    if let Some((cut_most, cut_least)) = thresholds {
        let ends = |a: &Tensor, b: &Tensor, c: &Tensor, d: &Tensor, larger_one: bool| -> Result<[Tensor; 2]> {
            match larger_one {
                true => Ok([larger(a, b)?, larger(c, d)?]),
                false => Ok([smaller(a, b)?, smaller(c, d)?]),
            }
        };
        high = behind(&high, ends(&lp, &lq, &up, &uq, true)?, cut_most, (1.0, 0.0), &choice_top)?;
        low = behind(&low, ends(&lp, &lq, &up, &uq, false)?, cut_least, (0.0, 1.0), &choice_bottom)?;
    }
    let both = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 1);
    let partners = match (&high.partners, &low.partners) {
        (Some([a, b]), Some([c, d])) => Some([both(a, c)?, both(b, d)?]),
        _ => None,
    };
    Ok(Relaxation {
        lower_slope: both(&high.lower_slope, &low.lower_slope)?,
        lower_offset: both(&high.lower_offset, &low.lower_offset)?,
        upper_slope: both(&high.upper_slope, &low.upper_slope)?,
        upper_offset: both(&high.upper_offset, &low.upper_offset)?,
        partners,
    })
}

/// The first and the second half of the channels.
pub fn halves(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let half = x.dim(1)? / 2;
    Ok((x.narrow(1, 0, half)?, x.narrow(1, half, half)?))
}

/// The lines of a function bent at `corner`, slopes `a` below and `b` above, 0 of them and 1, of what has the lines `inner` and lies in a box.
fn behind(
    inner: &Relaxation,
    [lower, upper]: [Tensor; 2],
    corner: &Tensor,
    (a, b): (f64, f64),
    choice: &Choice,
) -> Result<Relaxation> {
    let own = bent(&lower.broadcast_sub(corner)?, &upper.broadcast_sub(corner)?, a, b, choice)?;
    let moved = |slope: &Tensor, offset: &Tensor, inner: &Tensor| {
        // corner + slope (m - corner) + offset, at the inner line's offset.
        (slope * inner)? + (offset + corner.broadcast_sub(&slope.broadcast_mul(corner)?)?)?
    };
    let partners = match &inner.partners {
        Some([low, high]) => Some([(low * &own.lower_slope)?, (high * &own.upper_slope)?]),
        None => None,
    };
    Ok(Relaxation {
        lower_offset: moved(&own.lower_slope, &own.lower_offset, &inner.lower_offset)?,
        upper_offset: moved(&own.upper_slope, &own.upper_offset, &inner.upper_offset)?,
        lower_slope: (&inner.lower_slope * own.lower_slope)?,
        upper_slope: (&inner.upper_slope * own.upper_slope)?,
        partners,
    })
}
