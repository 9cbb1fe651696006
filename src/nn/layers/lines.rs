//! Linear lines of a function that is bent at 0, slope `a` below and `b` above, over a box from l to u:
//!
//! ```text
//! convex (b >= a), l < 0 < u     above: the chord, slope (b u - a l) / (u - l) through (u, b u)
//!                                below: slope b where u > -l, else a, through 0: the side that the box has more of
//! l >= 0, u <= 0                 the function itself
//! ```
//!
//! A concave one has them the other way round.

use super::activation::Relaxation;
use candle_core::{Result, Tensor};

/// The lines of such a function over boxes `[B, ...]`.
pub fn bent(lower: &Tensor, upper: &Tensor, a: f64, b: f64) -> Result<Relaxation> {
    let crosses = (lower.lt(0.0)? * upper.gt(0.0)?)?;
    // A NaN of the box is one of every line.
    let broken = ((lower + upper)? * 0.0)?;
    let (below, above) = ((broken.clone() + a)?, (broken.clone() + b)?);
    let own = upper.gt(0.0)?.where_cond(&above, &below)?;
    let zero = broken;
    let width = crosses.where_cond(&(upper - lower)?, &(zero.clone() + 1.0)?)?;
    let chord = crosses.where_cond(&(((upper * b)? - (lower * a)?)? / width)?, &own)?;
    let offset = crosses.where_cond(&((upper * b)? - (&chord * upper)?)?, &zero)?;
    let wider = (upper + lower)?.gt(0.0)?.where_cond(&above, &below)?;
    let tangent = crosses.where_cond(&wider, &own)?;
    let (chord, tangent) = ((chord, offset), (tangent, zero));
    let ((lower_slope, lower_offset), (upper_slope, upper_offset)) =
        if b >= a { (tangent, chord) } else { (chord, tangent) };
    Ok(Relaxation { lower_slope, lower_offset, upper_slope, upper_offset })
}
