//! Projected gradient descent in l2
//!
//! ```text
//! delta <- delta + step g / max(||g||, 1e-6)      g the gradient of the cross-entropy at x + delta
//! x + delta cut to [0, 1]; delta projected on ||delta|| <= eps; x + delta cut to [0, 1]
//! ```
//!
//! Madry et al. (2018), in the l2 norm. `step` is in the units of the input; the usual one is eps / 4. Instead of the
//! cross-entropy, the margin itself can be descended: `max over j != y of logit_j - logit_y`, whose gradient does not fade where
//! the network is sure of itself.

use super::losses::{correct, cross_entropies, one_hot};
use crate::compute::interrupt;
use crate::compute::kernels::{self, Blocks, Source, launch, room};
use crate::compute::precision::{self, Precision};
use crate::compute::random::Generator;
use crate::compute::reduce::{check_images, normalize_samples, per_sample};
use crate::nn::Sequential;
use candle_core::{Device, Result, Tensor, Var, bail};

/// What an attack climbs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    #[default]
    CrossEntropy,
    /// The largest other logit less the label's.
    Margin,
}

/// Where an attack begins.
#[derive(Clone, Debug, Default)]
pub enum Start {
    /// At x.
    Center,
    /// At a point of the ball drawn for the whole batch from one generator.
    #[default]
    Random,
    /// At a random point from a stream of each sample's own, so that it does not depend on who shares the batch.
    Streams(Vec<u64>),
    /// At given points, brought into the ball.
    Points(Tensor),
}

/// A length for every image, or one for each, in the units of the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    All(f64),
    Each(Vec<f64>),
}

impl From<f64> for Size {
    fn from(size: f64) -> Self {
        Self::All(size)
    }
}

impl Size {
    /// Every size times a number.
    pub fn times(&self, factor: f64) -> Self {
        match self {
            Self::All(size) => Self::All(size * factor),
            Self::Each(sizes) => Self::Each(sizes.iter().map(|size| size * factor).collect()),
        }
    }

    /// One for each of `batch` images, all finite and at least 0.
    fn each(&self, what: &str, batch: usize) -> Result<Vec<f64>> {
        let sizes = match self {
            Self::All(size) => vec![*size; batch],
            Self::Each(sizes) => sizes.clone(),
        };
        if sizes.len() != batch {
            bail!("pgd: {what} has {} values for {batch} images; give one number, or one for each image", sizes.len());
        }
        match sizes.iter().find(|size| !(**size >= 0.0 && size.is_finite())) {
            Some(size) => bail!("pgd: {what} is {size}, it must be finite and at least 0"),
            None => Ok(sizes),
        }
    }
}

/// How to attack.
#[derive(Clone, Debug)]
pub struct AttackOptions {
    /// Radius of the ball.
    pub epsilon: Size,
    pub steps: usize,
    pub step_size: Size,
    pub start: Start,
    pub objective: Objective,
    /// Keep images within [0, 1].
    pub clip: bool,
    /// Leave a sample as soon as it is misclassified, and return that point; otherwise return the last one.
    pub stop_early: bool,
}

/// Points of the ball around `x` `[B, ...]` that the network is made to misclassify, `[B, ...]`.
pub fn pgd(model: &Sequential, x: &Tensor, y: &Tensor, options: AttackOptions, random: &Generator) -> Result<Tensor> {
    let batch = x.dim(0)?;
    let (radii, steps) = (options.epsilon.each("epsilon", batch)?, options.step_size.each("the step size", batch)?);
    let on_device = |sizes: Vec<f64>| Tensor::from_vec(sizes, batch, x.device());
    let sizes = Sizes { radii: on_device(radii.clone())?, steps: on_device(steps)? };
    if options.clip {
        check_images("pgd with `clip`", x)?;
    }
    // Attacks belong to evaluations, which compute in f32 or f64.
    let model = model.frozen();
    precision::products_in(Precision::F32);
    let x = x.detach();
    let mut point = begin(&x, &radii, &sizes, &options, random)?;
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
        let climbed = match options.objective {
            Objective::CrossEntropy => cross_entropies(&logits, y)?,
            Objective::Margin => rivals(&logits, y)?,
        };
        let gradients = climbed.sum_all()?.backward()?;
        let Some(g) = gradients.get(at.as_tensor()) else { break };
        if kernels::serve(&x) {
            point = step_by_kernel(&x, &point, g, &sizes, options.clip)?;
            continue;
        }
        let (unit, norms) = normalize_samples(g)?;
        // Below 1e-6 the step shrinks with the gradient, as published.
        let length = norms.minimum(1e-6)?.mul(&(&sizes.steps / 1e-6)?)?.to_dtype(x.dtype())?;
        let moved = (&point + unit.broadcast_mul(&per_sample(&length, &x)?)?)?;
        point = project(&x, &cut(&moved, options.clip)?, &sizes.radii)?;
        point = cut(&point, options.clip)?;
    }
    if options.stop_early { choose(&open, &point, &found) } else { Ok(point) }
}

/// Radii and lengths of a step, `[B]` of f64 each, where the images are.
struct Sizes {
    radii: Tensor,
    steps: Tensor,
}

/// One step in one kernel: along `g`, cut, projected, cut.
fn step_by_kernel(x: &Tensor, point: &Tensor, g: &Tensor, sizes: &Sizes, clip: bool) -> Result<Tensor> {
    let (x, point, g) = (x.contiguous()?, point.contiguous()?, g.contiguous()?);
    let (batch, next) = (x.dim(0)?, room(x.shape(), x.dtype(), x.device())?);
    let tensors = [&x, &point, &g, &next, &sizes.steps, &sizes.radii].map(Into::into);
    let n = x.elem_count() / batch.max(1);
    let numbers = [n.into(), usize::from(clip).into()];
    launch(Source::Train, "attack_step", &x, Blocks::Exactly(batch), &[&tensors[..], &numbers].concat())?;
    Ok(next)
}

/// The points that the attack begins at.
fn begin(x: &Tensor, epsilon: &[f64], sizes: &Sizes, options: &AttackOptions, random: &Generator) -> Result<Tensor> {
    let batch = x.dim(0)?;
    let n = x.elem_count() / batch;
    // Uniform in the ball: the radius of a uniform point is eps u^(1/n).
    let radius = |random: &Generator, b: usize| epsilon[b] * random.unit().powf(1.0 / n as f64);
    let (direction, radii) = match &options.start {
        Start::Center => return Ok(x.clone()),
        Start::Points(points) if points.dims() == x.dims() => {
            return project(x, &cut(&points.detach().to_dtype(x.dtype())?, options.clip)?, &sizes.radii);
        }
        Start::Points(points) => bail!("pgd: start points of shape {:?} for images of {:?}", points.dims(), x.dims()),
        Start::Random => {
            let direction = random.normal(0.0, 1.0, x.shape(), x.dtype(), x.device())?;
            (direction, (0..batch).map(|b| radius(random, b)).collect::<Vec<_>>())
        }
        Start::Streams(streams) if streams.len() == batch => {
            let (mut numbers, mut radii) = (Vec::with_capacity(batch * n), vec![]);
            for (b, stream) in streams.iter().enumerate() {
                let own = random.other(*stream).fork("pgd");
                numbers.extend((0..n).map(|_| own.gauss()));
                radii.push(radius(&own, b));
            }
            (Tensor::from_vec(numbers, x.shape(), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?, radii)
        }
        Start::Streams(streams) => bail!("pgd: {} streams for {batch} images", streams.len()),
    };
    let (direction, _) = normalize_samples(&direction)?;
    let radii = Tensor::from_vec(radii, batch, x.device())?.to_dtype(x.dtype())?;
    cut(&(x + direction.broadcast_mul(&per_sample(&radii, x)?)?)?, options.clip)
}

/// The largest other logit less the label's, `[B]`.
fn rivals(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let own = logits.gather(&y.unsqueeze(1)?, 1)?;
    let others = one_hot(y, logits)?.where_cond(&(logits.ones_like()?.detach() * -1e30)?, logits)?;
    others.max_keepdim(1)?.sub(&own)?.squeeze(1)
}

/// The nearest point of the balls around `x`, whose radii are `epsilon` `[B]`.
fn project(x: &Tensor, point: &Tensor, epsilon: &Tensor) -> Result<Tensor> {
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
