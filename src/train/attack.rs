//! Projected gradient descent in l2
//!
//! ```text
//! delta <- delta + step g / max(||g||, 1e-6)      g the gradient of the cross-entropy at x + delta
//! x + delta cut to [0, 1]; delta projected on ||delta|| <= eps; x + delta cut to [0, 1]
//! ```
//!
//! Madry et al. (2018), in the l2 norm. `step` is in the units of the input; the usual one is eps / 4.

use super::losses::{correct, cross_entropies};
use crate::compute::interrupt;
use crate::compute::random::Generator;
use crate::compute::reduce::{check_images, normalize_samples, per_sample};
use crate::nn::Sequential;
use candle_core::{Result, Tensor, Var, bail};

/// How to attack.
#[derive(Clone, Copy, Debug)]
pub struct AttackOptions {
    /// Radius of the ball.
    pub epsilon: f64,
    pub steps: usize,
    pub step_size: f64,
    /// Start at a random point of the ball rather than at x.
    pub random_start: bool,
    /// Keep images within [0, 1].
    pub clip: bool,
    /// Leave a sample as soon as it is misclassified, and return that point; otherwise return the last one.
    pub stop_early: bool,
}

/// Points of the ball around `x` `[B, ...]` that the network is made to misclassify, `[B, ...]`.
pub fn pgd(model: &Sequential, x: &Tensor, y: &Tensor, options: AttackOptions, random: &Generator) -> Result<Tensor> {
    let AttackOptions { epsilon, step_size, .. } = options;
    for (what, size) in [("epsilon", epsilon), ("the step size", step_size)] {
        if !(size >= 0.0 && size.is_finite()) {
            bail!("pgd: {what} is {size}, it must be finite and at least 0");
        }
    }
    if options.clip {
        check_images("pgd with `clip`", x)?;
    }
    let model = model.frozen();
    let x = x.detach();
    let mut point = x.clone();
    if options.random_start {
        let (direction, _) = normalize_samples(&random.normal(0.0, 1.0, x.shape(), x.dtype(), x.device())?)?;
        // Uniform in the ball: the radius of a uniform point is eps u^(1/n).
        let n = (x.elem_count() / x.dim(0)?) as f64;
        let radii: Vec<f64> = (0..x.dim(0)?).map(|_| epsilon * random.unit().powf(1.0 / n)).collect();
        let radii = Tensor::from_vec(radii, x.dim(0)?, x.device())?.to_dtype(x.dtype())?;
        point = cut(&(&x + direction.broadcast_mul(&per_sample(&radii, &x)?)?)?, options.clip)?;
    }
    // Points that are already misclassified stay where they are.
    let mut found = point.clone();
    let mut open = Tensor::ones(x.dim(0)?, candle_core::DType::U8, x.device())?;
    for step in 0..=options.steps {
        interrupt::check()?;
        let at = Var::from_tensor(&point)?;
        let logits = model.forward(at.as_tensor())?;
        if options.stop_early {
            let fooled = correct(&logits, y)?.eq(0u8)?;
            let newly = (&fooled * &open)?;
            found = choose(&newly, &point, &found)?;
            open = (open * fooled.eq(0u8)?)?;
            if open.max_all()?.to_scalar::<u8>()? == 0 {
                return Ok(found);
            }
        }
        if step == options.steps {
            break;
        }
        let gradients = cross_entropies(&logits, y)?.sum_all()?.backward()?;
        let Some(g) = gradients.get(at.as_tensor()) else { break };
        let (unit, norms) = normalize_samples(g)?;
        // Below 1e-6 the step shrinks with the gradient, as published.
        let length = (norms.minimum(1e-6)? * (step_size / 1e-6))?.to_dtype(x.dtype())?;
        let moved = (&point + unit.broadcast_mul(&per_sample(&length, &x)?)?)?;
        point = project(&x, &cut(&moved, options.clip)?, epsilon)?;
        point = cut(&point, options.clip)?;
    }
    if options.stop_early { choose(&open, &point, &found) } else { Ok(point) }
}

/// The nearest point of the ball around `x`.
fn project(x: &Tensor, point: &Tensor, epsilon: f64) -> Result<Tensor> {
    let (unit, norms) = normalize_samples(&(point - x)?)?;
    let length = norms.minimum(epsilon)?.to_dtype(x.dtype())?;
    x + unit.broadcast_mul(&per_sample(&length, x)?)?
}

fn cut(x: &Tensor, images: bool) -> Result<Tensor> {
    if images { x.clamp(0f64, 1f64) } else { Ok(x.clone()) }
}

/// `a` where `mask` `[B]` is 1, else `b`.
fn choose(mask: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    per_sample(mask, a)?.broadcast_as(a.shape())?.contiguous()?.where_cond(a, b)
}
