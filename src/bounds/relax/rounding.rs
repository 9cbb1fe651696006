//! What roundings can cost a linear bound, in f64: paid out of its constants, so that what is computed lies below what is true
//!
//! ```text
//! |fl(W^T a) - W^T a| . |h| <= gamma |a| . (|W| m)       m = the largest size of h in its box
//! fl(<a, b>) - <a, b>      <= gamma |a| . |b|
//! affine      e = gamma(N + n + 64) (|W| m + |b|)        N outputs, n terms of one: the longest sums there are
//! activation  e = gamma(N + 64) (largest slope m + largest offset)
//! k <- k + (sums) - |a| . e - 8 u (|sums| + |k|)
//! ball        gamma(N + 64) (|a| . |x| + eps ||a||)      box   gamma(N + 64) |a| . m
//! ```
//!
//! Lines over an outward region are moved apart by 32 u of their sizes and of the function's, and of a function with roundings by four times
//! as many: the formulas of their slopes and offsets take less.

use super::over::Over;
use super::part::Part;
use crate::bounds::outward::{norms_above, sizes, terms};
use crate::bounds::region::Region;
use crate::bounds::upper::rounding::{UNIT, gamma, raised};
use crate::compute::elementwise::clip::larger;
use crate::compute::linear::strided::batched;
use crate::nn::Layer;
use crate::nn::layers::{Activation, Relaxation, exchanged};
use candle_core::{DType, Result, Tensor, bail};

/// `sum_i |a_i| e_i` for e `[B, ...]`, at least 0: `[B, S]`, rounded up.
fn charge(a: &Tensor, e: &Tensor) -> Result<Tensor> {
    let (batch, rows) = (a.dim(0)?, a.dim(1)?);
    let n: usize = a.dims()[2..].iter().product();
    let sizes = a.abs()?.reshape((batch, rows, n))?;
    let sums = batched(&sizes, &e.contiguous()?.reshape((batch, n, 1))?, [false; 2])?.squeeze(2)?;
    (sums * raised(1.0, n + 64))? + f64::MIN_POSITIVE
}

/// `k` and what is added to it, less what the addition rounds.
pub fn sum(k: &Tensor, more: &Tensor) -> Result<Tensor> {
    less(&(k + more)?, &((k.abs()? + more.abs()?)? * (8.0 * UNIT))?)
}

fn less(k: &Tensor, cost: &Tensor) -> Result<Tensor> {
    let rest = (k - cost)?;
    let slack = ((k.abs()? + cost.abs()?)? * (4.0 * UNIT))? + f64::MIN_POSITIVE;
    rest - slack?
}

fn expect_f64(a: &Tensor) -> Result<()> {
    if a.dtype() != DType::F64 || !a.device().is_cpu() {
        bail!("before: an outward region wants the linear bound in f64 on the CPU, it is in {:?}", a.dtype());
    }
    Ok(())
}

/// That part of `t` which the coefficients are of.
fn own(part: Option<&Part>, t: &Tensor) -> Result<Tensor> {
    part.map_or(Ok(t.clone()), |part| part.of(t))
}

/// Coefficients, and constants with `<a, bias>`, less what the products of an affine layer can lose before `region`.
pub fn affine(
    (a, k): (Tensor, Tensor),
    layer: &Layer,
    region: &Region,
    bias: &Tensor,
    part: Option<&Part>,
) -> Result<(Tensor, Tensor)> {
    expect_f64(&a)?;
    let (batch, rows) = (a.dim(0)?, a.dim(1)?);
    let outputs: usize = layer.output.iter().product();
    let sums = own(part, &layer.apply_absolute(&sizes(&region.lower()?, &region.upper()?)?)?)?;
    let e = (sums.broadcast_add(&bias.abs()?)? * raised(gamma(outputs + terms(layer) + 64), 4))? + f64::MIN_POSITIVE;
    let products = a.reshape((batch * rows, ()))?.matmul(&bias.reshape(((), 1))?)?.reshape((batch, rows))?;
    let k = less(&sum(&k, &products)?, &charge(&a, &e?)?)?;
    Ok((a, k))
}

/// The constants, less what the products with lines can lose.
pub fn activation(
    (a, k): (&Tensor, &Tensor),
    region: &Region,
    lines: &Relaxation,
    part: Option<&Part>,
) -> Result<Tensor> {
    expect_f64(a)?;
    let n: usize = a.dims()[2..].iter().product();
    let sizes = sizes(&region.lower()?, &region.upper()?)?;
    let steepest = |low: &Tensor, high: &Tensor| larger(&low.abs()?, &high.abs()?);
    let mut e = (steepest(&lines.lower_slope, &lines.upper_slope)? * &sizes)?;
    if let Some([low, high]) = &lines.partners {
        e = (e + (steepest(low, high)? * exchanged(&sizes, 1)?)?)?;
    }
    let e = (e + steepest(&lines.lower_offset, &lines.upper_offset)?)?;
    let e = ((e * raised(gamma(n + 64), 8))? + f64::MIN_POSITIVE)?;
    less(k, &charge(a, &own(part, &e)?)?)
}

/// The constants with `sums`, those of multipliers of the ends of a box, less what these and the moved coefficients can lose.
pub fn held((a, k): (&Tensor, &Tensor), sums: &Tensor, [least, most]: [&Tensor; 2], region: &Region) -> Result<Tensor> {
    expect_f64(a)?;
    for multipliers in [least, most] {
        if multipliers.flatten_all()?.min(0)?.to_scalar::<f64>()? < 0.0 {
            bail!("held: a multiplier is below 0, which bounds nothing; clamp them at 0");
        }
    }
    let (batch, rows) = (a.dim(0)?, a.dim(1)?);
    let n: usize = a.dims()[2..].iter().product();
    let sizes = sizes(&region.lower()?, &region.upper()?)?;
    // Of the coefficients a - (least - most) too: their sizes and those of the multipliers, times those of the values.
    let both = ((least + most)? * &sizes)?.flatten_from(1)?.sum_keepdim(1)?.broadcast_as((batch, rows))?;
    let slack = ((both * raised(gamma(n + 64), 8))? + charge(a, &((sizes * gamma(64))? + f64::MIN_POSITIVE)?)?)?;
    less(&sum(k, sums)?, &slack)
}

/// Lines moved apart by what their numbers, and the function's, are rounded.
pub fn widened(lines: Relaxation, f: &dyn Activation, [lower, upper]: [&Tensor; 2]) -> Result<Relaxation> {
    let Some(roundings) = f.facts().roundings else {
        bail!(
            "lines: the activation does not say how its values are rounded, so none hold over a region that is rounded outward"
        )
    };
    let by = (32 + 4 * roundings) as f64 * UNIT;
    let sizes = sizes(lower, upper)?;
    let reach = |slope: &Tensor, offset: &Tensor, partner: Option<&Tensor>| -> Result<Tensor> {
        // 1 + |slope|: the function grows no faster than its lines between the ends of a box, or by slopes of at most 1.
        let mut all = (((slope.abs()? + f.facts().lipschitz.max(1.0))? * &sizes)? + offset.abs()?)?;
        if let Some(partner) = partner {
            all = (all + ((partner.abs()? + 1.0)? * exchanged(&sizes, 1)?)?)?;
        }
        (all * by)? + f64::MIN_POSITIVE
    };
    let [low, high] = lines.partners.as_ref().map_or([None, None], |[low, high]| [Some(low), Some(high)]);
    let lower_offset = (&lines.lower_offset - reach(&lines.lower_slope, &lines.lower_offset, low)?)?;
    let upper_offset = (&lines.upper_offset + reach(&lines.upper_slope, &lines.upper_offset, high)?)?;
    Ok(Relaxation { lower_offset, upper_offset, ..lines })
}

/// The least value over an outward region, from below; over ball and box the larger of both.
pub fn concretised(a: &Tensor, k: &Tensor, region: &Region, over: Over, part: Option<&Part>) -> Result<Tensor> {
    expect_f64(a)?;
    let (batch, rows) = (a.dim(0)?, a.dim(1)?);
    let n: usize = a.dims()[2..].iter().product();
    let flat = a.reshape((batch, rows, n))?;
    let ball = || -> Result<Tensor> {
        let x = own(part, &region.center()?)?;
        let norms = norms_above(&flat.reshape((batch * rows, n))?)?.reshape((batch, rows))?;
        let reach = norms.broadcast_mul(&region.radius.unsqueeze(1)?)?;
        let products = batched(&flat, &x.contiguous()?.reshape((batch, n, 1))?, [false; 2])?.squeeze(2)?;
        let slack = charge(a, &((x.abs()? * gamma(n + 64))? + f64::MIN_POSITIVE)?)?;
        less(&sum(k, &products)?, &((reach * (1.0 + 8.0 * UNIT))? + slack)?)
    };
    let boxed = || -> Result<Tensor> {
        let (lower, upper) = (own(part, &region.lower()?)?, own(part, &region.upper()?)?);
        let ends = crate::compute::relaxed::Over::Box { lower: &lower, upper: &upper };
        let least = crate::compute::relaxed::concretised(a, ends)?;
        let slack = charge(a, &((sizes(&lower, &upper)? * gamma(n + 64))? + f64::MIN_POSITIVE)?)?;
        less(&sum(k, &least)?, &slack)
    };
    match over {
        Over::Ball => ball(),
        Over::Box => boxed(),
        Over::Both => larger(&ball()?, &boxed()?),
    }
}
