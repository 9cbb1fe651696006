//! Worst logits: how far each logit can rise against the label's over the region before the last layer
//!
//! ```text
//! worst_j = logit_j + max { (w_j - w_y) . d }  over  ||d|| <= radius,  lower - center <= d <= upper - center
//! worst_y = logit_y
//! ```
//!
//! Four forms of the maximum: exact; clip-and-enlarge, the published procedure, an upper bound after any number of
//! iterations; the ball alone, `radius ||w_j - w_y||`; the box alone. A label j != y cannot be reached while
//! worst_j < worst_y.

use super::Region;
use super::{worst_ball, worst_box, worst_clip, worst_exact};
use crate::compute::clip::{larger, smaller};
use crate::compute::labels::class_labels;
use crate::nn::{Layer, Operation};
use candle_core::{Result, Tensor, bail};

/// Which form of the maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WorstMethod {
    Exact,
    /// `constant`: what published code adds under its square roots, 1e-12; 0 for none.
    Clip {
        iterations: usize,
        constant: f64,
    },
    /// The ball alone; the region's box is not read.
    Ball,
    /// The box alone; the radius is not read.
    Box,
}

/// Worst logits `[B, C]` for labels `y` `[B]`: `last` is the network's last layer, linear; `region` lies before it;
/// `radius` `[B]` is the ball's there (epsilon times the product of the local norms). Differentiable in the layer's
/// weight and bias, in the region and in the radius.
pub fn worst_logits(last: &Layer, region: &Region, radius: &Tensor, y: &Tensor, method: WorstMethod) -> Result<Tensor> {
    let Operation::Linear { weight, .. } = &last.operation else {
        bail!("worst_logits: the last layer must be linear, layer {} is {}", last.index, last.spec.describe())
    };
    let (classes, features) = weight.dims2()?;
    let batch = region.center.dim(0)?;
    if region.center.dims() != [batch, features] {
        bail!(
            "worst_logits: the region has shape {:?}, the last layer wants {:?}",
            region.center.dims(),
            [batch, features]
        );
    }
    if radius.dims() != [batch] {
        bail!("worst_logits: {batch} samples want as many radii, got a tensor of shape {:?}", radius.dims());
    }
    let y = class_labels("worst_logits", y, batch, "the last layer has", classes)?;
    let logits = last.forward(&region.center)?;
    let zero = region.center.zeros_like()?.detach();
    let low = smaller(&(&region.lower - &region.center)?, &zero)?;
    let high = larger(&(&region.upper - &region.center)?, &zero)?;
    let rise = match method {
        WorstMethod::Exact => worst_exact::rise(weight, &low, &high, radius, &y)?,
        WorstMethod::Clip { iterations: 0, .. } => bail!("worst_logits: 0 iterations, at least 1 is needed"),
        WorstMethod::Clip { iterations, constant } => {
            worst_clip::rise(&differences(weight, &y)?, &low, &high, radius, iterations, constant)?
        }
        WorstMethod::Ball => worst_ball::rise(&differences(weight, &y)?, radius)?,
        WorstMethod::Box => return logits + worst_box::rise(&differences(weight, &y)?, &low, &high)?,
    };
    // A radius that is NaN or infinite comes out as NaN, whatever the method made of it: it certifies nothing.
    (logits + rise)?.broadcast_add(&(radius * 0.0)?.unsqueeze(1)?)
}

/// `w_j - w_y` for every sample and class, `[B, C, features]`.
fn differences(weight: &Tensor, y: &Tensor) -> Result<Tensor> {
    weight.unsqueeze(0)?.broadcast_sub(&weight.index_select(y, 0)?.unsqueeze(1)?)
}

/// A square root whose gradient at 0 is 0.
pub(super) fn safe_sqrt(x: &Tensor) -> Result<Tensor> {
    let positive = x.gt(0.0)?;
    let one = x.ones_like()?.detach();
    positive.where_cond(&positive.where_cond(x, &one)?.sqrt()?, &x.zeros_like()?.detach())
}
