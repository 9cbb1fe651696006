//! How far a network that runs in f32 can lie from the same network in exact arithmetic, over a ball
//!
//! ```text
//! a, a^                exact and executed activations at the same input; |a^| <= m + e, m = max(|lower|, |upper|) of the exact box
//! a^' = W a^ + b + d   |d| <= gamma(n + c) (s + |b|) + flush                     gamma(k) = k u / (1 - k u), u = 2^-24
//! sizes                s   = min(|W| (m + e), |W| |center| + ||w_i|| (radius + norm))    |W| |a^| from the box, and from the ball
//! elementwise          e'   = min(|W| e, ||w_i|| norm) + |d|
//! in norm              norm' = min(sigma norm + ||d||, ||e'||)                  sigma: any bound on the layer's norm, masked or not
//! margin               loss_j = min(|w_y - w_j| e, ||w_y - w_j|| norm) + |d_y| + |d_j|
//! ```
//!
//! **What runs.** Parameters rounded to f32; any f32 input of the ball; each output of an affine layer by products and sums of f32 in any
//! order, rounded to nearest or to something finer, with or without FMA, with or without flushing of subnormal numbers. Not
//! what forms other sums: Winograd's or Strassen's algorithm, Fourier transforms, TF32, bf16, f16.
//!
//! **c.** A product of weight and input goes through the rounding of the weight to f32, its own, and one for each of at most n
//! additions (the bias is a term more): n + 2. A bias goes through its own rounding and n additions. Pooling: at most n + 3, for the weight 1/k^2
//! in f64, the sum, and a division by k^2 or a product with 1/k^2 rounded, in one step or along both sides. Normalisation: 6, for (x - mean)
//! times 1/std, where the mean goes through its rounding, the subtraction, the rounding of std, the reciprocal, the
//! product and the f64 of `shift`; x scale + shift and (x - mean)/std have fewer.
//!
//! **flush.** A result below t = 2^-126 may be replaced by 0, when it is written or when it is read, and one that is kept as a
//! subnormal number is wrong by less: an absolute error of at most t each. There is one for each weight (times an input), each input (times
//! a weight), each product, each addition and the bias: t (sum |W| + sum (|a^| + t) + 2n + 1), times 1 + gamma for the roundings
//! that follow. `flush` is t (3 sum |W| + n (max|a^| + 4)) (1 + gamma), above it; three weights are for normalisation, whose mean,
//! input and difference are each multiplied by one. Minima and maxima of two numbers that are read as 0 are wrong by at most 2 t.
//!
//! **Masks.** A neuron whose value is the same number over the exact box widened by e has no error behind its
//! activation, so that norms masked by widened boxes ([`Execution::widened`]) bound the error as they do the change of
//! the exact activations. One that is constant in exact arithmetic alone still carries an error, so a mask has to come
//! from a widened box. Between an affine layer and its activation `norm` is of the rows of the mask only
//! ([`Execution::masked`]), `each` of all. Activations take minima and maxima of activations and of thresholds that are
//! f32 numbers: exact, 1-Lipschitz element by element (ReLU kinds), in pairs (MaxMin kinds: an error is at most the
//! larger one of its pair) and in norm.
//!
//! **Overflow.** Where products, sums or weights could pass f32's largest number, or n u >= 1/2, everything is NaN: nothing is certified.
//! All is computed in f64 and rounded up.

use super::outward::{rows, terms};
use super::region::Region;
use super::upper::rounding::{UNIT, gamma, raised};
use super::varying::varying;
use crate::compute::elementwise::clip::{larger, smaller};
use crate::compute::norms::samples::{per_sample, sample_norms};
use crate::nn::layers::{self, Facts, Side};
use crate::nn::{Layer, Role};
use candle_core::{DType, Device, Result, Tensor, bail};

/// Half the distance from 1 to the next f32.
const UNIT_32: f64 = 1.0 / 16_777_216.0;
/// f32's smallest normal number, and its largest number.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;
const LARGEST: f64 = f32::MAX as f64;

/// What is known of `executed - exact` at one layer, for every f32 input of a ball. f64, no gradients.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Of each element, `[B, ...]`.
    pub each: Tensor,
    /// The l2 norm, `[B]`.
    pub norm: Tensor,
    /// Right behind an affine layer: the norm before it, and what its roundings add to each element.
    arrived: Option<(Tensor, Tensor)>,
}

impl Execution {
    /// At the input: executed and exact network start from the same numbers.
    pub fn start(region: &Region) -> Result<Self> {
        if region.rounding.is_none() {
            bail!(
                "f32_execution: the region was not rounded outward; begin with ball_and_box(x, eps, #{{ outward: true }})"
            );
        }
        let none = region.center()?.zeros_like()?.detach();
        Ok(Self { each: none, norm: region.radius.zeros_like()?.detach(), arrived: None })
    }

    /// Through an affine layer whose norm is at most `sigma`; `region` is the exact network's before it, whose activations lie
    /// within `radius` of the region's center.
    pub fn affine(&self, layer: &Layer, region: &Region, radius: &Tensor, sigma: &Tensor) -> Result<Self> {
        let layer = layer.frozen();
        let added = self.added(&layer, region, radius)?;
        let sums = terms(&layer) + 16;
        let carried = raise(&layer.apply_absolute(&self.each)?, sums)?;
        let by_norm = per_sample(&self.norm, &added)?.broadcast_mul(&rows(&layer, &added)?)?;
        let by_norm = raise(&by_norm, sums)?.broadcast_as(added.shape())?;
        let each = raise(&(smaller(&carried, &by_norm)? + &added)?, 4)?;
        let norm = carry(&self.norm, sigma, &added, &each)?;
        Ok(Self { each, norm, arrived: Some((self.norm.clone(), added)) })
    }

    /// Right behind [`Execution::affine`]: `norm` by a norm `sigma` of the layer with masks that widened boxes gave, for the
    /// outputs of its row mask alone.
    pub fn masked(&self, sigma: &Tensor, rows: Option<&Tensor>) -> Result<Self> {
        let Some((before, added)) = &self.arrived else {
            bail!("masked: there is no affine layer right before it; call it on what affine gave")
        };
        let kept = |t: &Tensor| rows.map_or(Ok(t.clone()), |rows| t.mul(&rows.to_dtype(DType::F64)?));
        let norm = carry(before, sigma, &kept(added)?, &kept(&self.each)?)?;
        Ok(Self { norm: smaller(&norm, &self.norm)?, arrived: None, ..self.clone() })
    }

    /// Through an activation or flatten; `region` is the exact network's before it.
    pub fn activation(&self, layer: &Layer, region: &Region) -> Result<Self> {
        let f = match &layer.role {
            Role::Reshape(r) => {
                return Ok(Self { each: r.forward(&self.each)?, norm: self.norm.clone(), arrived: None });
            }
            Role::Activation(f) => f,
            Role::Affine(_) => bail!("activation: {} is affine; take execution.affine", layer.title()),
            Role::Branches(_) => bail!(
                "activation: what {} loses in f32 is not bounded so far; certify with arithmetic: \"exact\"",
                layer.title()
            ),
        };
        let Facts { lipschitz, roundings, thresholds, .. } = f.facts();
        // An own activation may compare with numbers that f32 does not hold.
        if roundings != Some(0) || lipschitz != 1.0 || !layer.spec.own().is_empty() {
            bail!(
                "activation: what {} adds in f32 is not bounded: it rounds, enlarges, or is a script's own; certify with arithmetic: \"exact\"",
                layer.title()
            );
        }
        let known =
            thresholds.iter().try_fold(1.0, |known, t| Ok::<_, candle_core::Error>(known * exact(layer, t)?))?;
        let each = f.spread(&self.each)?;
        let each = if thresholds.is_empty() { each } else { (each * known)? };
        let seen = self.widened(region)?;
        let mask = match layer.mask_side() {
            Some(Side::Before) => varying(layer, &seen)?,
            Some(Side::Behind) => varying(layer, &seen.activation(layer, false)?)?,
            None => None,
        };
        let mut each = raise(&(each + 2.0 * SMALLEST)?, 2)?;
        if let Some(mask) = mask {
            each = (each * mask.to_dtype(DType::F64)?)?;
        }
        let flushed = raised(2.0 * SMALLEST * (layer.input_len() as f64).sqrt(), 4);
        let norm = smaller(&raise(&(&self.norm + flushed)?, 2)?, &norms(&each)?)?;
        Ok(Self { each, norm, arrived: None })
    }

    /// `region` with a box that holds the executed activations too.
    pub fn widened(&self, region: &Region) -> Result<Region> {
        let (lower, upper) = region.ends()?;
        let beyond = |end: &Tensor| ((end.abs()? + &self.each)? * (4.0 * UNIT))? + &self.each;
        let (lower, upper) = ((&lower - beyond(&lower)?)?, (&upper + beyond(&upper)?)?);
        let mut wide = Region::new(&region.center()?.detach(), &lower, &upper, region.radius.clone())?;
        wide.rounding = region.rounding.clone();
        Ok(wide)
    }

    /// What margins can lose, `[B * C]`: entry j of sample b is of its label's logit against logit j. `last` is the network's
    /// last layer, linear; `region` and `radius` are of the exact network before it.
    pub fn margin_losses(&self, last: &Layer, region: &Region, radius: &Tensor, labels: &[u32]) -> Result<Vec<f64>> {
        let last = last.frozen();
        let Some(weight) = last.weight() else { bail!("margin_losses: {} is not linear", last.title()) };
        let classes = weight.dim(0)?;
        let (weight, each) = (weight.to_vec2::<f64>()?, self.each.to_vec2::<f64>()?);
        let mut added = self.added(&last, region, radius)?.to_vec2::<f64>()?;
        let norm = self.norm.to_vec1::<f64>()?;
        // A logit that is 0 whatever comes (a network with one logit, made two classes) is not computed, or exactly.
        let bias =
            last.add_bias(&Tensor::zeros((1, classes), DType::F64, &Device::Cpu)?)?.squeeze(0)?.to_vec1::<f64>()?;
        for j in (0..classes).filter(|j| bias[*j] == 0.0 && weight[*j].iter().all(|w| *w == 0.0)) {
            added.iter_mut().filter(|row| !row[j].is_nan()).for_each(|row| row[j] = 0.0);
        }
        let mut losses = Vec::with_capacity(labels.len() * classes);
        for (b, label) in labels.iter().enumerate() {
            let y = *label as usize;
            for j in 0..classes {
                let (mut by_element, mut squares) = (0.0, 0.0);
                for ((w_y, w_j), e) in weight[y].iter().zip(&weight[j]).zip(&each[b]) {
                    let d = (w_y - w_j).abs();
                    by_element += d * e;
                    squares += d * d;
                }
                // Squares that underflow lack less than 1e-155 in a norm.
                let by_norm = (squares.sqrt() + 1e-155) * norm[b];
                let carried = if by_norm < by_element || by_norm.is_nan() { by_norm } else { by_element };
                losses.push(raised(carried + added[b][y] + added[b][j], weight[y].len() + 8));
            }
        }
        Ok(losses)
    }

    /// |d|: what the layer's own roundings can add to each of its outputs; NaN where f32 could overflow.
    fn added(&self, layer: &Layer, region: &Region, radius: &Tensor) -> Result<Tensor> {
        let rounding = Rounding::of(layer)?;
        if self.each.dims() != region.dims() || self.each.dims()[1..] != layer.input {
            bail!(
                "affine: {} wants a batch of {:?}; the region has shape {:?}, the execution {:?}",
                layer.title(),
                layer.input,
                region.dims(),
                self.each.dims()
            );
        }
        let (lower, upper) = region.ends()?;
        let size = raise(&(larger(&lower.abs()?, &upper.abs()?)? + &self.each)?, 2)?;
        let batch = size.dim(0)?;
        let both =
            raise(&layer.apply_absolute(&Tensor::cat(&[&size, &region.center()?.abs()?], 0)?)?, terms(layer) + 16)?;
        let (by_box, by_ball) = (both.narrow(0, 0, batch)?, both.narrow(0, batch, batch)?);
        let reach = per_sample(&(radius + &self.norm)?, &by_box)?.broadcast_mul(&rows(layer, &by_box)?)?;
        let by_ball = by_ball.broadcast_add(&raise(&reach, terms(layer) + 16)?)?;
        let sums = smaller(&by_box, &raise(&by_ball, 2)?)?;
        let sums = (&sums + layer.add_bias(&sums.zeros_like()?)?.abs()?)?;
        // Adding 0 times the sum keeps a NaN, which a maximum may lose.
        let flat = size.flatten_from(1)?;
        let peak = (flat.max(1)? + (flat.sum(1)? * 0.0)?)?;
        let weights = layer.apply_absolute(&size.narrow(0, 0, 1)?.ones_like()?)?;
        let weights = (raise(&weights, terms(layer) + 16)? * 3.0)?;
        let others = per_sample(&((peak + 4.0)? * terms(layer) as f64)?, &sums)?;
        let flush = (weights.broadcast_add(&others)? * (SMALLEST * (1.0 + rounding.gamma)))?;
        let added = raise(&((&sums * rounding.gamma)? + flush)?, 8)?;
        // Every number on the way is at most this; written so that a NaN does not fit.
        let largest = raise(&((sums + &added)? * rounding.stretch)?, 4)?;
        let nan = added.affine(0.0, f64::NAN)?;
        largest.le(LARGEST)?.where_cond(&added, &nan)
    }
}

/// How an affine layer rounds.
struct Rounding {
    /// gamma(n + c); NaN where it says nothing or a weight is no finite f32.
    gamma: f64,
    /// Numbers on the way to an output are at most so many times as large as the sum of its terms' sizes.
    stretch: f64,
}

impl Rounding {
    fn of(layer: &Layer) -> Result<Self> {
        if layer.numbers().is_some_and(|(dtype, device)| dtype != DType::F64 || !device.is_cpu()) {
            bail!(
                "affine: an execution's error is bounded in f64 on the CPU; convert the model with model.to_dtype(\"f64\"), and start with --device cpu"
            );
        }
        let layers::Rounding { steps, largest, stretch } = match &layer.role {
            Role::Affine(map) => map.rounding()?,
            Role::Activation(_) | Role::Reshape(_) | Role::Branches(_) => {
                bail!("affine: {} is not affine; take execution.activation", layer.title())
            }
        };
        let nu = steps as f64 * UNIT_32;
        let sound = nu < 0.5 && largest <= LARGEST;
        let gamma = if sound { raised(nu / (1.0 - nu), 4) } else { f64::NAN };
        Ok(Self { gamma, stretch })
    }
}

/// `min(sigma norm + ||added||, ||each||)`, raised.
fn carry(norm: &Tensor, sigma: &Tensor, added: &Tensor, each: &Tensor) -> Result<Tensor> {
    smaller(&raise(&(norm.broadcast_mul(sigma)? + norms(added)?)?, 4)?, &norms(each)?)
}

/// The l2 norm of each sample, as a number that is not below it.
fn norms(x: &Tensor) -> Result<Tensor> {
    let terms = x.elem_count() / x.dim(0)?.max(1);
    raise(&(sample_norms(x)? + f64::MIN_POSITIVE)?, terms + 16)
}

/// Numbers that are not below `x` after n roundings of positive terms.
fn raise(x: &Tensor, n: usize) -> Result<Tensor> {
    x * (1.0 + gamma(n + 2))
}

/// 1 for thresholds that f32 has and does not flush; NaN where one is subnormal or NaN.
fn exact(layer: &Layer, threshold: &Tensor) -> Result<f64> {
    let mut known = 1.0;
    for t in threshold.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()? {
        if t.is_nan() || (t != 0.0 && t.abs() < SMALLEST) {
            known = f64::NAN;
        } else if f64::from(t as f32) != t {
            bail!(
                "activation: {} has the threshold {t}, which is no f32; round the network first, with model.to_dtype(\"f32\")",
                layer.title()
            );
        }
    }
    Ok(known)
}
