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
//! w_i is the row of output i. Activations here are monotone and 1-Lipschitz. The center is the very tensor of the
//! clean activations: one forward pass makes both. A radius of NaN lets nothing certify that still uses the ball. A box
//! behind an activation is not cut with f(center -+ radius), which changes nothing where the radius is a true bound.
//! Center, lower and upper are kept as one tensor: what is done to all three is then one operation, forward and
//! backward. On a device with kernels of our own a region is kept as what the next operation wants, and the ends of its
//! box are made when they are asked for.

use super::outward::{self, Outward};
use crate::compute::autograd::tape::Tracked;
use crate::compute::elementwise::clip::{clip_tracked, larger, smaller};
use crate::compute::gpu;
use crate::compute::layout;
use crate::compute::norms::channels::add_channels;
use crate::compute::norms::gpu::scale_all;
use crate::compute::norms::samples::{check_images, per_sample};
use crate::compute::region;
use crate::compute::region::center_radius::CenterRadius;
use crate::compute::region::gpu::PreActivation;
use crate::compute::region::weights::Map;
use crate::nn::{Layer, Operation};
use candle_core::{Result, Tensor, bail};

/// Ball and box of a batch at one layer. All tensors are differentiable.
#[derive(Clone, Debug)]
pub struct Region {
    parts: Parts,
    /// Radius of the ball, `[B]`.
    pub radius: Tensor,
    /// Of a region that is rounded outward ([`super::outward`]): the part of the radius that is rounding, `[B]`.
    pub rounding: Option<Tensor>,
}

/// Center and box, in one of several forms.
#[derive(Clone, Debug)]
enum Parts {
    /// Center, lower, upper: `[3, B, ...]`.
    Ends(Tracked),
    /// Center, middle and half-width of the box: `[3, B, ...]`.
    CenterRadius(CenterRadius),
    /// The products of the affine layer before.
    PreActivation(PreActivation),
}

impl Region {
    /// From its parts, `[B, ...]` each, and the radius `[B]`.
    pub fn new(center: &Tensor, lower: &Tensor, upper: &Tensor, radius: Tensor) -> Result<Self> {
        let ends = Tracked::of(&Tensor::stack(&[center, lower, upper], 0)?)?;
        Ok(Self { parts: Parts::Ends(ends), radius, rounding: None })
    }

    /// Center, lower and upper: `[3, B, ...]`.
    fn all(&self) -> Result<Tracked> {
        match &self.parts {
            Parts::Ends(ends) => Ok(ends.clone()),
            Parts::CenterRadius(middles) => middles.ends(),
            Parts::PreActivation(pre_activation) => pre_activation.ends(),
        }
    }

    /// Clean activations, `[B, ...]`.
    pub fn center(&self) -> Result<Tensor> {
        match &self.parts {
            Parts::CenterRadius(middles) => middles.planes()?.part(0),
            _ => self.all()?.part(0),
        }
    }

    /// Lower end of the box, `[B, ...]`.
    pub fn lower(&self) -> Result<Tensor> {
        self.all()?.part(1)
    }

    /// Upper end of the box, `[B, ...]`.
    pub fn upper(&self) -> Result<Tensor> {
        self.all()?.part(2)
    }

    /// The shape of each part, `[B, ...]`.
    pub fn dims(&self) -> &[usize] {
        match &self.parts {
            Parts::Ends(ends) => &ends.value().dims()[1..],
            Parts::CenterRadius(middles) => middles.dims(),
            Parts::PreActivation(pre_activation) => pre_activation.dims(),
        }
    }

    /// The l2 ball of radius `epsilon` (`[B]`) around each image of `x`, and the box x +- epsilon. With `images` the box
    /// is cut to [0, 1], which is valid only against an adversary who is held to images too.
    pub fn around(x: &Tensor, epsilon: &Tensor, images: bool) -> Result<Self> {
        if epsilon.dims() != [x.dim(0)?] {
            bail!("region: {} images want as many radii, got a tensor of shape {:?}", x.dim(0)?, epsilon.dims());
        }
        if gpu::has_kernel(x) && x.dtype() == epsilon.dtype() && !x.track_op() && !epsilon.track_op() {
            if images {
                check_images("ball_and_box with `images`", x)?;
            }
            let parts = Parts::CenterRadius(CenterRadius::around(x, epsilon, images)?);
            return Ok(Self { parts, radius: epsilon.clone(), rounding: None });
        }
        let half = per_sample(epsilon, x)?;
        let (mut lower, mut upper) = (x.broadcast_sub(&half)?, x.broadcast_add(&half)?);
        if images {
            check_images("ball_and_box with `images`", x)?;
            (lower, upper) = (lower.clamp(0f64, 1f64)?, upper.clamp(0f64, 1f64)?);
        }
        Self::new(x, &lower, &upper, epsilon.clone())
    }

    /// The same with every rounding accounted for: images and radii in f64, on the CPU ([`super::outward`]).
    pub fn around_outward(x: &Tensor, epsilon: &Tensor, images: bool) -> Result<Self> {
        Self::of_outward(outward::around(x, epsilon, images)?)
    }

    fn of_outward(found: Outward) -> Result<Self> {
        let region = Self::new(&found.center, &found.lower, &found.upper, found.radius)?;
        Ok(Self { rounding: Some(found.rounding), ..region })
    }

    /// Through an affine layer whose spectral norm is at most `sigma`: one value for all samples, or one for each.
    pub fn affine(&self, layer: &Layer, sigma: &Tensor) -> Result<Self> {
        if let Some(rounding) = &self.rounding {
            let (center, lower, upper) = (self.center()?, self.lower()?, self.upper()?);
            let here = Outward { center, lower, upper, radius: self.radius.clone(), rounding: rounding.clone() };
            return Self::of_outward(outward::affine(&here, layer, sigma)?);
        }
        if let Some(region) = self.pre_activation(layer, sigma)? {
            return Ok(region);
        }
        let radius = self.radius.broadcast_mul(sigma)?;
        let reach = self.radius.unsqueeze(1)?.broadcast_mul(&layer.row_norms()?)?;
        if let Some(parts) = self.at_once(layer, &reach)? {
            return Ok(Self { parts: Parts::Ends(parts), radius, rounding: None });
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

    /// Through a convolution or a linear layer on a device with kernels, as its products.
    fn pre_activation(&self, layer: &Layer, sigma: &Tensor) -> Result<Option<Self>> {
        let (weight, bias, map) = match &layer.operation {
            Operation::Conv2d { weight, bias, window } => {
                let window = layer.window(window);
                (weight, bias, Map::Conv(window, layout::wanted(weight.dtype(), weight.device(), &layer.precision)))
            }
            Operation::Linear { weight, bias } => (weight, bias, Map::Linear(layer.precision.get())),
            Operation::AvgPool2d { .. }
            | Operation::Normalize { .. }
            | Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => return Ok(None),
        };
        let here = gpu::has_kernel(weight) && self.radius.dtype() == weight.dtype() && self.dims()[0] > 0;
        if !here || self.dims()[1..] != layer.input {
            return Ok(None);
        }
        let middles = match &self.parts {
            Parts::CenterRadius(middles) => middles.clone(),
            _ => CenterRadius::of_ends(&self.all()?)?,
        };
        let radius = match sigma.elem_count() {
            1 => scale_all(&self.radius, sigma)?,
            _ => self.radius.broadcast_mul(sigma)?,
        };
        let parts = Parts::PreActivation(PreActivation::new(
            &middles,
            (weight, bias.as_ref()),
            &self.radius,
            map,
            &layer.output,
        )?);
        Ok(Some(Self { parts, radius, rounding: None }))
    }

    /// Through a convolution or a linear layer in one operation on the CPU, where there is one for it.
    fn at_once(&self, layer: &Layer, reach: &Tensor) -> Result<Option<Tracked>> {
        if self.dims()[1..] != layer.input || reach.dim(0)? != self.dims()[0] {
            return Ok(None);
        }
        let parts = self.all()?;
        let offsets = |bias: &Option<Tensor>| {
            let bias = match bias {
                Some(bias) => bias.unsqueeze(0)?,
                None => reach.narrow(0, 0, 1)?.zeros_like()?.detach(),
            };
            Tensor::cat(&[reach, &bias], 0)
        };
        match &layer.operation {
            #[cfg(target_arch = "x86_64")]
            Operation::Conv2d { weight, bias, window } if region::conv::covers(parts.value(), weight, *window)? => {
                region::conv::affine(&parts, weight, &offsets(bias)?, *window).map(Some)
            }
            Operation::Linear { weight, bias } if region::linear::covers(parts.value(), weight) => {
                region::linear::affine(&parts, weight, &offsets(bias)?).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Which outputs of an activation vary, where the kernel that finds it also makes what lies behind it.
    pub(super) fn varying(&self, activation: &Layer) -> Result<Option<Tensor>> {
        match (&self.parts, &activation.operation) {
            (Parts::PreActivation(pre_activation), Operation::Clip { threshold }) if self.fits(threshold) => {
                Ok(Some(pre_activation.activated(Some(threshold))?.1))
            }
            (Parts::PreActivation(pre_activation), Operation::Relu) => Ok(Some(pre_activation.activated(None)?.1)),
            (Parts::CenterRadius(middles), Operation::ClippedMaxMin { max, .. }) => Ok(middles.sorted_mask(max)),
            _ => Ok(None),
        }
    }

    /// One threshold for each neuron?
    fn fits(&self, threshold: &Tensor) -> bool {
        let dims = threshold.dims();
        dims.first() == Some(&1) && dims[1..] == self.dims()[1..]
    }

    /// How far the box reaches below and above the center, `[B, ...]` each: at most 0, and at least 0.
    pub fn gaps(&self) -> Result<(Tensor, Tensor)> {
        if let Parts::CenterRadius(middles) = &self.parts {
            let both = middles.gaps()?;
            return Ok((both.get(0)?, both.get(1)?));
        }
        let center = self.center()?;
        let zero = center.zeros_like()?.detach();
        Ok((smaller(&(self.lower()? - &center)?, &zero)?, larger(&(self.upper()? - &center)?, &zero)?))
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
        let parts = match (&layer.operation, &self.parts) {
            (Operation::Flatten, Parts::CenterRadius(middles)) => Parts::CenterRadius(middles.reshape(&shape)?),
            (Operation::Flatten, Parts::Ends(_) | Parts::PreActivation(_)) => Parts::Ends(self.all()?.reshape(shape)?),
            (Operation::Clip { threshold }, Parts::PreActivation(pre_activation)) if self.fits(threshold) => {
                Parts::CenterRadius(pre_activation.activated(Some(threshold))?.0)
            }
            (Operation::Relu, Parts::PreActivation(pre_activation)) => {
                Parts::CenterRadius(pre_activation.activated(None)?.0)
            }
            (Operation::MaxMin, Parts::PreActivation(pre_activation)) => {
                Parts::CenterRadius(pre_activation.sorted(None)?)
            }
            (Operation::ClippedMaxMin { max, min }, Parts::PreActivation(pre_activation)) => {
                Parts::CenterRadius(pre_activation.sorted(Some((max, min)))?)
            }
            (Operation::Clip { threshold }, _) if self.radius.device().is_cpu() || gpu::has_kernel(threshold) => {
                Parts::Ends(clip_tracked(&self.all()?, threshold)?)
            }
            // Monotone: each end of the box goes through by itself.
            (
                Operation::Relu | Operation::Clip { .. } | Operation::MaxMin | Operation::ClippedMaxMin { .. },
                Parts::Ends(_) | Parts::CenterRadius(_) | Parts::PreActivation(_),
            ) => {
                let all = self.all()?.tensor()?.flatten(0, 1)?;
                Parts::Ends(Tracked::of(&layer.activate(&all)?.reshape(shape)?)?)
            }
            (
                Operation::Conv2d { .. }
                | Operation::Linear { .. }
                | Operation::AvgPool2d { .. }
                | Operation::Normalize { .. },
                _,
            ) => {
                bail!("activation: layer {} ({}) is affine; take region.affine", layer.index, layer.spec.describe())
            }
        };
        let next = Self { parts, radius: self.radius.clone(), rounding: self.rounding.clone() };
        if !cut {
            return Ok(next);
        }
        let center = self.center()?;
        let reach = match &self.rounding {
            Some(_) => outward::reach(&center, &self.radius)?,
            None => per_sample(&self.radius, &center)?,
        };
        let lower = larger(&next.lower()?, &layer.activate(&center.broadcast_sub(&reach)?)?)?;
        let upper = smaller(&next.upper()?, &layer.activate(&center.broadcast_add(&reach)?)?)?;
        let cut = Self::new(&next.center()?, &lower, &upper, self.radius.clone())?;
        Ok(Self { rounding: self.rounding.clone(), ..cut })
    }

    /// Mean width of the box of each sample, `[B]`, no gradient.
    pub fn mean_width(&self) -> Result<Tensor> {
        let (lower, upper) = self.ends()?;
        (upper - lower)?.flatten_from(1)?.mean(1)
    }

    /// Lower and upper end of the box, without gradients.
    pub fn ends(&self) -> Result<(Tensor, Tensor)> {
        let all = self.all()?;
        Ok((all.value().get(1)?, all.value().get(2)?))
    }
}
