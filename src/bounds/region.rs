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
//! w_i is the row of output i. Activations here are monotone and 1-Lipschitz.

use crate::compute::channels::add_channels;
use crate::compute::clip::{larger, smaller};
use crate::compute::reduce::per_sample;
use crate::nn::Layer;
use candle_core::{Result, Tensor, bail};

/// Ball and box of a batch at one layer. All tensors are differentiable.
#[derive(Clone, Debug)]
pub struct Region {
    /// Clean activations, `[B, ...]`.
    pub center: Tensor,
    /// Lower end of the box, `[B, ...]`.
    pub lower: Tensor,
    /// Upper end of the box, `[B, ...]`.
    pub upper: Tensor,
    /// Radius of the ball, `[B]`.
    pub radius: Tensor,
}

impl Region {
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
        Ok(Self { center: x.clone(), lower, upper, radius: epsilon.clone() })
    }

    /// Through an affine layer whose spectral norm is at most `sigma`: one value for all samples, or one for each.
    pub fn affine(&self, layer: &Layer, sigma: &Tensor) -> Result<Self> {
        let boxed = self.affine_box(layer)?;
        let reach = self.radius.unsqueeze(1)?.broadcast_mul(&layer.row_norms()?)?;
        Ok(Self {
            lower: larger(&boxed.lower, &add_channels(&boxed.center, &reach.neg()?)?)?,
            upper: smaller(&boxed.upper, &add_channels(&boxed.center, &reach)?)?,
            center: boxed.center,
            radius: self.radius.broadcast_mul(sigma)?,
        })
    }

    /// The box alone through an affine layer: interval bound propagation. The ball is given up; its radius becomes NaN,
    /// so that nothing that still uses it can certify.
    pub fn affine_box(&self, layer: &Layer) -> Result<Self> {
        let batch = self.center.dim(0)?;
        // The two centres go through W together.
        let middle = ((&self.lower + &self.upper)? * 0.5)?;
        let both = layer.add_bias(&layer.apply(&Tensor::cat(&[&self.center, &middle], 0)?)?)?;
        let (center, middle) = (both.narrow(0, 0, batch)?, both.narrow(0, batch, batch)?);
        let half = layer.apply_absolute(&((&self.upper - &self.lower)? * 0.5)?)?;
        let radius = (self.radius.detach() * f64::NAN)?;
        Ok(Self { lower: (&middle - &half)?, upper: (&middle + &half)?, center, radius })
    }

    /// Through an activation or flatten. With `cut` the box is also cut with `f(center -+ radius)`, as published code
    /// does: it changes nothing when `radius` is a true bound, and is there for comparison with that code.
    pub fn activation(&self, layer: &Layer, cut: bool) -> Result<Self> {
        let mut lower = layer.activate(&self.lower)?;
        let mut upper = layer.activate(&self.upper)?;
        if cut {
            let reach = per_sample(&self.radius, &self.center)?;
            lower = larger(&lower, &layer.activate(&self.center.broadcast_sub(&reach)?)?)?;
            upper = smaller(&upper, &layer.activate(&self.center.broadcast_add(&reach)?)?)?;
        }
        Ok(Self { center: layer.activate(&self.center)?, lower, upper, radius: self.radius.clone() })
    }

    /// Mean width of the box of each sample, `[B]`, no gradient.
    pub fn mean_width(&self) -> Result<Tensor> {
        (self.upper.detach() - self.lower.detach())?.flatten_from(1)?.mean(1)
    }
}
