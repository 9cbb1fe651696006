//! Ball and box through a layer in f64 with every rounding accounted for: what is computed contains what is true
//!
//! ```text
//! e_i = gamma(n + 16) (|W| m + |b|)_i        m = max(|lower|, |upper|), n the terms of a row: bounds every rounding of row i
//! box     lower' = W mid + b - |W| half - 3 e       upper' = W mid + b + |W| half + 3 e
//! ball    ||z - center|| <= radius, center as computed:   radius' = sigma radius + ||e||      rounding' = sigma rounding + ||e||
//! ```
//!
//! `rounding` is the part of the radius that does not come from the input's ball: how far the computed center may lie from the
//! exact activations. With a local Lipschitz bound L the features lie within `epsilon L + rounding` of the computed ones.
//! Activations that take minima and maxima only are exact. One whose outputs go through k roundings has e_i = gamma(k + 4) of the
//! largest size of its box and center, and a ball of `L radius + ||e||`. The network that is bounded is the one in exact
//! arithmetic with the parameters as they are.

use super::upper::rounding::{UNIT, gamma, raised};
use crate::compute::elementwise::clip::{larger, smaller};
use crate::compute::norms::samples::{per_sample, sample_norms};
use crate::nn::{Layer, Role};
use candle_core::{DType, Result, Tensor, bail};

/// Ball and box with their rounding, `[B, ...]` each, radius and rounding `[B]`.
pub struct Outward {
    pub center: Tensor,
    pub lower: Tensor,
    pub upper: Tensor,
    pub radius: Tensor,
    pub rounding: Tensor,
}

/// The l2 ball of radius `epsilon` (`[B]`, f64) around each of the images `x` (f64), and a box that holds it. The numbers of
/// `x` and `epsilon` are taken as exact.
pub fn around(x: &Tensor, epsilon: &Tensor, images: bool) -> Result<Outward> {
    if x.dtype() != DType::F64 || !x.device().is_cpu() {
        bail!(
            "ball_and_box with `outward`: roundings are bounded in f64 on the CPU, the images are {:?} on {}; convert them with \
             x.to_dtype(\"f64\"), and start with --device cpu",
            x.dtype(),
            crate::compute::device::name(x.device())
        );
    }
    if epsilon.dims() != [x.dim(0)?] {
        bail!("region: {} images want as many radii, got a tensor of shape {:?}", x.dim(0)?, epsilon.dims());
    }
    let half = per_sample(epsilon, x)?;
    let slack = (x.abs()?.broadcast_add(&half)? * (4.0 * UNIT))?;
    let (mut lower, mut upper) = ((x.broadcast_sub(&half)? - &slack)?, (x.broadcast_add(&half)? + &slack)?);
    if images {
        crate::compute::norms::samples::check_images("ball_and_box with `images`", x)?;
        (lower, upper) = (lower.clamp(0f64, 1f64)?, upper.clamp(0f64, 1f64)?);
    }
    Ok(Outward { center: x.clone(), lower, upper, radius: epsilon.clone(), rounding: epsilon.zeros_like()? })
}

/// `region` through an affine layer whose spectral norm is at most `sigma`.
pub fn affine(region: &Outward, layer: &Layer, sigma: &Tensor) -> Result<Outward> {
    if layer.numbers().is_none_or(|(dtype, device)| dtype != DType::F64 || !device.is_cpu()) {
        bail!(
            "affine: an outward region wants the model in f64 on the CPU; convert it with model.to_dtype(\"f64\"), and start with --device cpu"
        );
    }
    let Outward { center, lower, upper, radius, rounding } = region;
    let layer = layer.frozen();
    let slack = slack(&layer, lower, upper)?;
    let batch = center.dim(0)?;
    let middle = ((lower + upper)? * 0.5)?;
    let both = layer.add_bias(&layer.apply(&Tensor::cat(&[center, &middle], 0)?)?)?;
    let (center, middle) = (both.narrow(0, 0, batch)?, both.narrow(0, batch, batch)?);
    // Wide enough for the roundings of middle and half-width.
    let size = larger(&lower.abs()?, &upper.abs()?)?;
    let half = ((((upper - lower)? * 0.5)? * (1.0 + 4.0 * UNIT))? + (size * (4.0 * UNIT))?)?;
    let half = (layer.apply_absolute(&half)? + (&slack * 3.0)?)?;
    let reach =
        (per_sample(radius, &center)?.broadcast_mul(&rows(&layer, &center)?)? * (1.0 + gamma(terms(&layer) + 16)))?;
    let reach = reach.broadcast_add(&(&slack * 2.0)?)?;
    let lower = larger(&(&middle - &half)?, &(&center - &reach)?)?;
    let upper = smaller(&(&middle + &half)?, &(&center + &reach)?)?;
    let error = norms_above(&slack)?;
    let through = |r: &Tensor| -> Result<Tensor> { (r.broadcast_mul(sigma)? + &error)? * (1.0 + 8.0 * UNIT) };
    Ok(Outward { radius: through(radius)?, rounding: through(rounding)?, center, lower, upper })
}

/// The norm of each sample, as a number that is not below it: `sample_norms` scales, so nothing underflows, and the smallest normal
/// number covers a radius that does.
pub(super) fn norms_above(slack: &Tensor) -> Result<Tensor> {
    let each = slack.elem_count() / slack.dim(0)?.max(1);
    (sample_norms(slack)? * (1.0 + gamma(each + 16)))? + f64::MIN_POSITIVE
}

/// What an activation of this Lipschitz constant has made of center and box, with its roundings: the ball of `region` is the one
/// before it. `spread`: sizes that the roundings are relative to, where they are not those of the outputs.
pub fn activation(region: Outward, lipschitz: f64, roundings: usize, spread: Option<Tensor>) -> Result<Outward> {
    let Outward { center, lower, upper, radius, rounding } = region;
    let size = larger(&larger(&lower.abs()?, &upper.abs()?)?, &center.abs()?)?;
    let size = spread.map_or(Ok(size.clone()), |spread| larger(&size, &(spread * (1.0 + 16.0 * UNIT))?))?;
    // Nothing else is rounded where nothing is computed.
    let slack = match roundings {
        0 => size.zeros_like()?,
        n => ((size * raised(gamma(n + 4), 4))? + f64::MIN_POSITIVE)?,
    };
    let error = norms_above(&slack)?;
    let wide = (&slack * 2.0)?;
    let through = |r: &Tensor| -> Result<Tensor> { ((r * lipschitz)? + &error)? * (1.0 + 8.0 * UNIT) };
    Ok(Outward {
        lower: (lower - &wide)?,
        upper: (upper + &wide)?,
        radius: through(&radius)?,
        rounding: through(&rounding)?,
        center,
    })
}

/// Branches on one input added up: boxes and balls add up. Each number of the sum goes through as many roundings as there are branches, at
/// most; the box is cut with the ball's.
pub fn added(parts: &[Outward]) -> Result<Outward> {
    let Some((first, others)) = parts.split_first() else { bail!("branches: there are none") };
    let sum =
        |part: fn(&Outward) -> Result<Tensor>| others.iter().try_fold(part(first)?, |sum, other| sum + part(other)?);
    let sizes = sum(|p| larger(&larger(&p.lower.abs()?, &p.upper.abs()?)?, &p.center.abs()?))?;
    let n = parts.len();
    let slack = ((sizes * raised(gamma(n + 4), 2 * n + 4))? + f64::MIN_POSITIVE)?;
    let error = norms_above(&slack)?;
    let ball = |r: Tensor| -> Result<Tensor> { (r + &error)? * (1.0 + (2.0 * n as f64 + 8.0) * UNIT) };
    let (radius, rounding) = (ball(sum(|p| Ok(p.radius.clone()))?)?, ball(sum(|p| Ok(p.rounding.clone()))?)?);
    let center = sum(|p| Ok(p.center.clone()))?;
    let reach = reach(&center, &radius)?;
    let lower = larger(&(sum(|p| Ok(p.lower.clone()))? - &slack)?, &center.broadcast_sub(&reach)?)?;
    let upper = smaller(&(sum(|p| Ok(p.upper.clone()))? + &slack)?, &center.broadcast_add(&reach)?)?;
    Ok(Outward { center, lower, upper, radius, rounding })
}

/// Branches on one input, one behind the other: no number changes.
pub fn side_by_side(parts: &[Outward]) -> Result<Outward> {
    let cat = |part: fn(&Outward) -> &Tensor| Tensor::cat(&parts.iter().map(part).collect::<Vec<_>>(), 1);
    let ball =
        |part: fn(&Outward) -> &Tensor| norms_above(&Tensor::stack(&parts.iter().map(part).collect::<Vec<_>>(), 1)?);
    Ok(Outward {
        center: cat(|p| &p.center)?,
        lower: cat(|p| &p.lower)?,
        upper: cat(|p| &p.upper)?,
        radius: ball(|p| &p.radius)?,
        rounding: ball(|p| &p.rounding)?,
    })
}

/// How far each value of a ball can lie from its center, `[B, ...]`, with the roundings of center - reach and center + reach.
pub fn reach(center: &Tensor, radius: &Tensor) -> Result<Tensor> {
    let radius = per_sample(radius, center)?;
    let slack = (center.abs()?.broadcast_add(&radius)? * (4.0 * UNIT))?;
    (slack.broadcast_add(&radius)? * (1.0 + 4.0 * UNIT))? + f64::MIN_POSITIVE
}

/// How large a value of the box can be, and a little more.
pub(super) fn sizes(lower: &Tensor, upper: &Tensor) -> Result<Tensor> {
    larger(&lower.abs()?, &upper.abs()?)? * (1.0 + 8.0 * UNIT)
}

/// What bounds every rounding of an output of the layer, `[B, output...]`, for inputs in the box.
fn slack(layer: &Layer, lower: &Tensor, upper: &Tensor) -> Result<Tensor> {
    let size = sizes(lower, upper)?;
    let sums = layer.apply_absolute(&size)?;
    let offset = layer.add_bias(&sums.zeros_like()?)?.abs()?;
    // The smallest normal number covers what underflows.
    ((sums + offset)? * raised(gamma(terms(layer) + 16), 4))? + f64::MIN_POSITIVE
}

/// The norms of the rows, shaped to be broadcast over a batch.
pub(super) fn rows(layer: &Layer, like: &Tensor) -> Result<Tensor> {
    // Squares of entries below 1e-154 underflow: what they can lack in a norm is less than this.
    let norms = (layer.row_norms()? + 1e-155)?;
    let mut shape = vec![1; like.rank()];
    shape[1] = norms.elem_count();
    norms.reshape(shape)
}

/// How many products are added up for one output.
pub(super) fn terms(layer: &Layer) -> usize {
    match &layer.role {
        Role::Affine(map) => map.terms(),
        // What is no sum rounds nothing: the layer before refuses these.
        Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => 0,
    }
}
