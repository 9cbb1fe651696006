//! Linear lines of activations with corners, over a box from l to u:
//!
//! ```text
//! bent at 0, slope a below and b above, convex (b >= a)
//!   l < 0 < u     above: the chord, slope (b u - a l) / (u - l) through (u, b u)      below: any slope from a to b through 0
//!   else          the function itself
//! clipped to [0, t], with l' = max(l, 0)
//!   t <= l        the constant t
//!   l < t < u     above: any slope from 0 to t / (t - min(l, 0)) through (t, t)
//!                 below: l >= 0: the chord through (l, l) and (u, t); l < 0: any slope from 0 to t / u through 0
//!   u <= t        as max(x, 0)
//! ```
//!
//! A concave function has them the other way round. Which slope is taken where some are right is a [`Choice`].

use super::activation::{Choice, Relaxation, Slope};
use crate::compute::elementwise::clip::{larger, relu, smaller};
use crate::compute::relaxed::bent as chords;
use candle_core::{Result, Tensor};

/// The slope between `flat` and `steep` that is asked for, under a condition that asks for the steep one where slopes are adaptive.
fn chosen(slope: &Slope, [flat, steep]: [&Tensor; 2], steeper: &Tensor, same: &Tensor) -> Result<Tensor> {
    let to = |slope: f64| smaller(&larger(&((flat * 0.0)? + slope)?, flat)?, steep);
    match slope {
        Slope::Adaptive => steeper.where_cond(steep, flat),
        Slope::Same => Ok(same.clone()),
        Slope::Zero => to(0.0),
        Slope::One => to(1.0),
        Slope::Share(share) => flat + ((steep - flat)? * share)?,
    }
}

/// The lines of such a function over boxes `[B, ...]`.
pub fn bent(lower: &Tensor, upper: &Tensor, a: f64, b: f64, choice: &Choice) -> Result<Relaxation> {
    let convex = b >= a;
    let [chord, offset, adaptive] = chords(lower, upper, a, b)?;
    let free = if convex { &choice.lower } else { &choice.upper };
    let tangent = match free {
        Slope::Adaptive => adaptive,
        Slope::Same => chord.clone(),
        Slope::Zero | Slope::One | Slope::Share(_) => {
            // A NaN of the box is one of every line.
            let broken = ((lower + upper)?.detach() * 0.0)?;
            let (flat, steep) = ((&broken + a.min(b))?, (&broken + a.max(b))?);
            let crosses = (lower.lt(0.0)? * upper.gt(0.0)?)?;
            crosses.where_cond(&chosen(free, [&flat, &steep], &crosses, &chord)?, &adaptive)?
        }
    };
    let zero = offset.zeros_like()?.detach();
    let ((lower_slope, lower_offset), (upper_slope, upper_offset)) = match convex {
        true => ((tangent, zero), (chord, offset)),
        false => ((chord, offset), (tangent, zero)),
    };
    Ok(Relaxation { lower_slope, lower_offset, upper_slope, upper_offset, partners: None })
}

/// Those of `max(min(x, threshold), 0)`, thresholds `[1, ...]` at least 0.
pub fn clipped(lower: &Tensor, upper: &Tensor, threshold: &Tensor, choice: &Choice) -> Result<Relaxation> {
    let t = threshold.broadcast_as(lower.shape())?;
    let plain = bent(lower, upper, 0.0, 1.0, choice)?;
    let zero = ((lower + upper)?.detach() * 0.0)?;
    let one = (&zero + 1.0)?;
    let top = lower.ge(&t)?;
    let cut = (upper.gt(&t)? * top.eq(0u8)?)?;
    let or_one = |width: Tensor| cut.where_cond(&width, &one);
    // Above, through (t, t).
    let least = smaller(lower, &zero)?;
    let steep = (&t / or_one((&t - &least)?)?)?;
    let wide = (&t - lower)?.gt(&(upper - &t)?)?;
    let over = chosen(&choice.upper, [&zero, &steep], &wide, &wide.where_cond(&steep, &zero)?)?;
    let over_offset = (&t - (&over * &t)?)?;
    // Below: from the corner at l', or through 0.
    let from = relu(lower)?;
    let inside = lower.ge(0.0)?;
    let chord = ((&t - &from)? / or_one((upper - &from)?)?)?;
    let wide = (upper + lower)?.gt(0.0)?;
    let under = inside.where_cond(&chord, &chosen(&choice.lower, [&zero, &chord], &wide, &over)?)?;
    let under = if matches!(choice.lower, Slope::Same) { over.clone() } else { under };
    // The least of f - slope x over the box, at its corners.
    let at = |x: &Tensor, y: &Tensor| y - (&under * x)?;
    let under_offset = match choice.lower {
        Slope::Same => smaller(&at(&from, &from)?, &at(upper, &t)?)?,
        Slope::Adaptive | Slope::Zero | Slope::One | Slope::Share(_) => inside.where_cond(&at(&from, &from)?, &zero)?,
    };
    let pick =
        |ours: &Tensor, plain: &Tensor, constant: &Tensor| top.where_cond(constant, &cut.where_cond(ours, plain)?);
    // A NaN of the box or of a threshold is one of every line.
    let broken = ((&zero + &t.detach())? * 0.0)?;
    Ok(Relaxation {
        lower_slope: (pick(&under, &plain.lower_slope, &zero)? + &broken)?,
        lower_offset: (pick(&under_offset, &plain.lower_offset, &t)? + &broken)?,
        upper_slope: (pick(&over, &plain.upper_slope, &zero)? + &broken)?,
        upper_offset: (pick(&over_offset, &plain.upper_offset, &t)? + &broken)?,
        partners: None,
    })
}
