//! What is known of the activations at one layer when the input moves in an l2 ball: a ball and a box.
//!
//! ```text
//! ball   ||z - center|| <= radius          center: the clean activations
//! box    lower <= z <= upper               element by element
//!
//! affine, sigma >= ||W||:   center' = W center + b       radius' = sigma radius
//!                           c = W (lower + upper)/2 + b  h = |W| (upper - lower)/2
//!                           lower' = max(c - h, center' - radius ||w_i||)   upper' = min(c + h, center' + radius ||w_i||)
//! affine, box alone:        lower' = c - h   upper' = c + h   radius' = NaN: there is no ball any more
//! activation f:             center' = f(center)  radius' = radius  lower' = f(lower)  upper' = f(upper)
//! ```
//!
//! w_i is the row of output i. Activations here are monotone and 1-Lipschitz. Center, lower and upper are kept as one
//! tensor: what is done to all three is then one operation, forward and backward.

use super::outward;
use crate::compute::channels::add_channels;
use crate::compute::clip::{clip_tracked, larger, smaller};
use crate::compute::fused::region::{self as fused, Map};
#[cfg(target_arch = "x86_64")]
use crate::compute::interval;
use crate::compute::interval_linear;
use crate::compute::kernels;
use crate::compute::reduce::per_sample;
use crate::compute::tape::Tracked;
use crate::nn::{Layer, Operation};
use candle_core::{Result, Tensor, bail};

/// Ball and box of a batch at one layer. All tensors are differentiable.
#[derive(Clone, Debug)]
pub struct Region {
    /// Center, lower, upper: `[3, B, ...]`.
    parts: Tracked,
    /// Radius of the ball, `[B]`.
    pub radius: Tensor,
    /// Of a region that is rounded outward ([`super::outward`]): the part of the radius that is rounding, `[B]`.
    pub rounding: Option<Tensor>,
}

impl Region {
    /// From its parts, `[B, ...]` each, and the radius `[B]`.
    pub fn new(center: &Tensor, lower: &Tensor, upper: &Tensor, radius: Tensor) -> Result<Self> {
        Ok(Self { parts: Tracked::of(&Tensor::stack(&[center, lower, upper], 0)?)?, radius, rounding: None })
    }

    /// Clean activations, `[B, ...]`.
    pub fn center(&self) -> Result<Tensor> {
        self.parts.part(0)
    }

    /// Lower end of the box, `[B, ...]`.
    pub fn lower(&self) -> Result<Tensor> {
        self.parts.part(1)
    }

    /// Upper end of the box, `[B, ...]`.
    pub fn upper(&self) -> Result<Tensor> {
        self.parts.part(2)
    }

    /// The shape of each part, `[B, ...]`.
    pub fn dims(&self) -> &[usize] {
        &self.parts.value().dims()[1..]
    }

    /// The l2 ball of radius `epsilon` (`[B]`) around each image of `x`, and the box x +- epsilon. With `images` the box
    /// is cut to [0, 1], which is valid only against an adversary who is held to images too.
    pub fn around(x: &Tensor, epsilon: &Tensor, images: bool) -> Result<Self> {
        if epsilon.dims() != [x.dim(0)?] {
            bail!("region: {} images want as many radii, got a tensor of shape {:?}", x.dim(0)?, epsilon.dims());
        }
        let half = per_sample(epsilon, x)?;
        let (mut lower, mut upper) = (x.broadcast_sub(&half)?, x.broadcast_add(&half)?);
        if images {
            crate::compute::reduce::check_images("ball_and_box with `images`", x)?;
            (lower, upper) = (lower.clamp(0f64, 1f64)?, upper.clamp(0f64, 1f64)?);
        }
        Self::new(x, &lower, &upper, epsilon.clone())
    }

    /// Through an affine layer whose spectral norm is at most `sigma`: one value for all samples, or one for each.
    pub fn affine(&self, layer: &Layer, sigma: &Tensor) -> Result<Self> {
        if let Some(rounding) = &self.rounding {
            return outward::affine(self, rounding, layer, sigma);
        }
        let radius = self.radius.broadcast_mul(sigma)?;
        let reach = self.radius.unsqueeze(1)?.broadcast_mul(&layer.row_norms()?)?;
        if let Some(parts) = self.at_once(layer, &reach)? {
            return Ok(Self { parts, radius, rounding: None });
        }
        let [center, lower, upper] = self.boxed(layer)?;
        let lower = larger(&lower, &add_channels(&center, &reach.neg()?)?)?;
        let upper = smaller(&upper, &add_channels(&center, &reach)?)?;
        Self::new(&center, &lower, &upper, radius)
    }

    /// The box alone through an affine layer: interval bound propagation. The ball is given up; its radius becomes NaN,
    /// so that nothing that still uses it can certify.
    pub fn affine_box(&self, layer: &Layer) -> Result<Self> {
        if self.rounding.is_some() {
            bail!("affine: a region that is rounded outward keeps its ball; give the layer's norm too");
        }
        let [center, lower, upper] = self.boxed(layer)?;
        Self::new(&center, &lower, &upper, (self.radius.detach() * f64::NAN)?)
    }

    /// Center and box behind an affine layer, without the ball.
    fn boxed(&self, layer: &Layer) -> Result<[Tensor; 3]> {
        let (center, lower, upper) = (self.center()?, self.lower()?, self.upper()?);
        let batch = center.dim(0)?;
        // The two centres go through W together.
        let middle = ((&lower + &upper)? * 0.5)?;
        let both = layer.add_bias(&layer.apply(&Tensor::cat(&[&center, &middle], 0)?)?)?;
        let (center, middle) = (both.narrow(0, 0, batch)?, both.narrow(0, batch, batch)?);
        let half = layer.apply_absolute(&((&upper - &lower)? * 0.5)?)?;
        Ok([center, (&middle - &half)?, (&middle + &half)?])
    }

    /// Through a convolution or a linear layer in one operation, where there is one for it.
    fn at_once(&self, layer: &Layer, reach: &Tensor) -> Result<Option<Tracked>> {
        if self.dims()[1..] != layer.input || reach.dim(0)? != self.dims()[0] {
            return Ok(None);
        }
        let offsets = |bias: &Option<Tensor>| {
            let bias = match bias {
                Some(bias) => bias.unsqueeze(0)?,
                None => reach.narrow(0, 0, 1)?.zeros_like()?.detach(),
            };
            Tensor::cat(&[reach, &bias], 0)
        };
        if kernels::serve(self.parts.value()) {
            let (weight, bias, map) = match &layer.operation {
                Operation::Conv2d { weight, bias, window } => (weight, bias, Map::Conv(*window)),
                Operation::Linear { weight, bias } => (weight, bias, Map::Linear),
                _ => return Ok(None),
            };
            return fused::affine(&self.parts, weight, &offsets(bias)?, map).map(Some);
        }
        match &layer.operation {
            #[cfg(target_arch = "x86_64")]
            Operation::Conv2d { weight, bias, window } if interval::covers(self.parts.value(), weight, *window)? => {
                interval::affine(&self.parts, weight, &offsets(bias)?, *window).map(Some)
            }
            Operation::Linear { weight, bias } if interval_linear::covers(self.parts.value(), weight) => {
                interval_linear::affine(&self.parts, weight, &offsets(bias)?).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Through an activation or flatten. With `cut` the box is also cut with `f(center -+ radius)`, as published code
    /// does: it changes nothing when `radius` is a true bound, and is there for comparison with that code.
    pub fn activation(&self, layer: &Layer, cut: bool) -> Result<Self> {
        if self.dims()[1..] != layer.input {
            bail!(
                "activation: layer {} ({}) wants a region over a batch of {:?}, got one of shape {:?}",
                layer.index,
                layer.spec.describe(),
                layer.input,
                self.dims()
            );
        }
        let shape = [&[3, self.dims()[0]], layer.output.as_slice()].concat();
        let parts = match &layer.operation {
            Operation::Flatten => self.parts.reshape(shape)?,
            Operation::Clip { threshold } if self.radius.device().is_cpu() || kernels::serve(threshold) => {
                clip_tracked(&self.parts, threshold)?
            }
            _ => {
                let all = self.parts.tensor()?.flatten(0, 1)?;
                Tracked::of(&layer.activate(&all)?.reshape(shape)?)?
            }
        };
        let next = Self { parts, radius: self.radius.clone(), rounding: self.rounding.clone() };
        if !cut {
            return Ok(next);
        }
        let center = self.center()?;
        let reach = per_sample(&self.radius, &center)?;
        let lower = larger(&next.lower()?, &layer.activate(&center.broadcast_sub(&reach)?)?)?;
        let upper = smaller(&next.upper()?, &layer.activate(&center.broadcast_add(&reach)?)?)?;
        Self::new(&next.center()?, &lower, &upper, self.radius.clone())
    }

    /// Mean width of the box of each sample, `[B]`, no gradient.
    pub fn mean_width(&self) -> Result<Tensor> {
        let (lower, upper) = self.ends()?;
        (upper - lower)?.flatten_from(1)?.mean(1)
    }

    /// Lower and upper end of the box, without gradients.
    pub fn ends(&self) -> Result<(Tensor, Tensor)> {
        Ok((self.parts.value().get(1)?, self.parts.value().get(2)?))
    }
}
