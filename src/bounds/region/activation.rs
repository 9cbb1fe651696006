//! Through an activation, or a rearrangement
//!
//! ```text
//! center' = f(center)   radius' = L_f radius   lower', upper' = the box of f over [lower, upper]
//! ```
//!
//! L_f is 1 for most activations, and where f is monotone the box is f(lower), f(upper). A box behind an activation is not cut with
//! f(center -+ radius), which changes nothing where the radius is a true bound.

use super::parts::{Parts, Region};
use crate::bounds::outward::{self, Outward};
use crate::compute::autograd::reshaped;
use crate::compute::autograd::tape::Tracked;
use crate::compute::elementwise::clip::{clip_tracked, larger, smaller};
use crate::compute::gpu;
use crate::compute::norms::samples::per_sample;
use crate::compute::region::around::Around;
use crate::nn::Layer;
use crate::nn::Role;
use crate::nn::layers::{Activation, Facts, Fused, image};
use candle_core::{Result, Tensor, bail};
use std::rc::Rc;

impl Region {
    /// Which outputs of an activation vary, where the kernel that finds it also makes what lies behind it.
    pub(in crate::bounds) fn varying(&self, activation: &Layer) -> Result<Option<Tensor>> {
        match (&self.parts, activation.fused()) {
            (Parts::PreActivation(pre_activation), Some(Fused::Clip { threshold }))
                if threshold.as_ref().is_none_or(|t| self.fits(t)) =>
            {
                Ok(Some(pre_activation.activated(threshold.as_ref())?.1))
            }
            (Parts::CenterRadius(middles), Some(Fused::Sort { thresholds: Some((max, _)) })) => {
                Ok(middles.sorted_mask(&max))
            }
            _ => Ok(None),
        }
    }

    /// One threshold for each neuron?
    fn fits(&self, threshold: &Tensor) -> bool {
        let dims = threshold.dims();
        dims.first() == Some(&1) && dims[1..] == self.dims()[1..]
    }

    /// Through an activation or flatten. With `cut` the box is also cut with `f(center -+ radius)`, as published code
    /// does: it changes nothing when `radius` is a true bound, and is there for comparison with that code.
    pub fn activation(&self, layer: &Layer, cut: bool) -> Result<Self> {
        if self.dims()[1..] != layer.input {
            bail!(
                "activation: {} wants a region over a batch of {:?}, got one of shape {:?}",
                layer.title(),
                layer.input,
                self.dims()
            );
        }
        // What only rearranges numbers asks nothing of the ball.
        if cut || matches!(layer.role, Role::Activation(_)) {
            self.expect_radius("activation")?;
        }
        let shape = [&[3, self.dims()[0]], layer.output.as_slice()].concat();
        let parts = match &layer.role {
            Role::Reshape(r) => match &self.parts {
                Parts::CenterRadius(middles) if r.keeps_order() => Parts::CenterRadius(middles.reshape(&shape)?),
                Parts::Around(around) if r.keeps_order() => {
                    Parts::Around(Around::new(&around.x.reshape(&shape[1..])?, &around.radius))
                }
                _ if r.keeps_order() => Parts::Ends(self.all()?.reshape(shape)?),
                _ => Parts::Ends(self.each_end(&shape, |all| r.forward(all))?),
            },
            Role::Activation(f) => match (f.facts().fused, &self.parts) {
                (Some(Fused::Clip { threshold }), Parts::PreActivation(pre_activation))
                    if threshold.as_ref().is_none_or(|t| self.fits(t)) =>
                {
                    Parts::CenterRadius(pre_activation.activated(threshold.as_ref())?.0)
                }
                (Some(Fused::Sort { thresholds }), Parts::PreActivation(pre_activation)) => {
                    let thresholds = thresholds.as_ref().map(|(max, min)| (max, min));
                    Parts::CenterRadius(pre_activation.sorted(thresholds)?)
                }
                (Some(Fused::Clip { threshold: Some(threshold) }), _)
                    if self.radius.device().is_cpu() || gpu::has_kernel(&threshold) =>
                {
                    Parts::Ends(clip_tracked(&self.all()?, &threshold)?)
                }
                // Each end of the box goes through by itself.
                _ if f.boxes().is_none() => Parts::Ends(self.each_end(&shape, |all| f.forward(all))?),
                _ => {
                    let [lower, upper] = image(&**f, &self.lower()?, &self.upper()?)?;
                    Parts::Ends(Tracked::of(&Tensor::stack(&[&f.forward(&self.center()?)?, &lower, &upper], 0)?))
                }
            },
            Role::Affine(_) => bail!("activation: {} is affine; take region.affine", layer.title()),
            Role::Branches(_) => bail!("activation: {} has branches; take layer.meet", layer.title()),
        };
        let next = Self { parts, outputs: Rc::default(), ..self.clone() };
        let next = if cut { self.cut(next, layer)? } else { next };
        match &layer.role {
            Role::Activation(f) => next.behind(self, &**f, layer),
            Role::Reshape(_) | Role::Affine(_) | Role::Branches(_) => Ok(next),
        }
    }

    /// Center and ends, each as samples of one batch, through a step: `shape`, `[3, B, ...]`.
    fn each_end(&self, shape: &[usize], step: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tracked> {
        let ends = self.all()?.tensor()?;
        let all = reshaped(&ends, &[&[ends.dim(0)? * ends.dim(1)?], &ends.dims()[2..]].concat())?;
        Ok(Tracked::of(&reshaped(&step(&all)?, shape)?))
    }

    /// `next`, which lies behind the layer, with its box cut with that of `center -+ radius`.
    fn cut(&self, next: Self, layer: &Layer) -> Result<Self> {
        let center = self.center()?;
        let reach = match &self.rounding {
            Some(_) => outward::reach(&center, &self.radius)?,
            None => per_sample(&self.radius, &center)?,
        };
        let (lower, upper) = (center.broadcast_sub(&reach)?, center.broadcast_add(&reach)?);
        let [lower, upper] = match &layer.role {
            Role::Activation(f) => image(&**f, &lower, &upper)?,
            Role::Reshape(r) => [r.forward(&lower)?, r.forward(&upper)?],
            Role::Affine(_) => bail!("activation: {} is affine; take region.affine", layer.title()),
            Role::Branches(_) => bail!("activation: {} has branches; take layer.meet", layer.title()),
        };
        let (lower, upper) = (larger(&next.lower()?, &lower)?, smaller(&next.upper()?, &upper)?);
        let cut = Self::new(&next.center()?, &lower, &upper, self.radius.clone())?;
        Ok(Self { rounding: self.rounding.clone(), ..cut })
    }

    /// The ball behind an activation, whose center and box are these already: its Lipschitz constant, and in an outward region what it
    /// rounds.
    fn behind(self, before: &Self, f: &dyn Activation, layer: &Layer) -> Result<Self> {
        let Facts { lipschitz, roundings, cancels, .. } = f.facts();
        let Some(rounding) = &self.rounding else {
            // Most are 1-Lipschitz, and no operation is spent on them.
            let radius = if lipschitz == 1.0 { self.radius.clone() } else { (&self.radius * lipschitz)? };
            return Ok(Self { radius, ..self });
        };
        match roundings {
            Some(0) if lipschitz == 1.0 => Ok(self),
            Some(roundings) => {
                let (center, lower, upper) = (self.center()?, self.lower()?, self.upper()?);
                let here = Outward { center, lower, upper, radius: self.radius.clone(), rounding: rounding.clone() };
                let sizes = if cancels { Some(f.spread(&before.sizes()?)?) } else { None };
                Self::of_outward(outward::activation(here, lipschitz, roundings, sizes)?)
            }
            None => bail!(
                "activation: {} does not say how its values are rounded, so no outward region goes through it; certify with kind \
                 \"estimate\", or take another activation",
                layer.title()
            ),
        }
    }
}
