//! Worst logits: how far each logit can rise against the label's over the region before the last layer
//!
//! ```text
//! worst_j = logit_j + max { (w_j - w_y) . d }  over  ||d|| <= radius,  lower - center <= d <= upper - center
//! worst_y = logit_y
//! ```
//!
//! Four forms of the maximum (`worst_solve`): exact; clip-and-enlarge, the published procedure, an upper bound after any number of
//! iterations; the ball alone, `radius ||w_j - w_y||`; the box alone. A label j != y cannot be reached while
//! worst_j < worst_y.

use super::worst_solve::Rule;
use super::{ball, clip, gap, gpu as on_gpu, interval};
use crate::bounds::region::Region;
use crate::compute::autograd::add;
use crate::compute::gpu;
use crate::compute::labels::class_labels;
use crate::nn::Layer;
use crate::nn::layers::Dense;
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
    let Some(Dense::Matrix { weight, .. }) = last.dense() else {
        bail!(
            "worst_logits: the last layer must be linear, it is {}; end the network with linear(classes)",
            last.title()
        )
    };
    let weight = &weight;
    let (classes, features) = weight.dims2()?;
    let batch = region.dims()[0];
    if region.dims() != [batch, features] {
        bail!("worst_logits: the region has shape {:?}, the last layer wants {:?}", region.dims(), [batch, features]);
    }
    if radius.dims() != [batch] {
        bail!("worst_logits: {batch} samples want as many radii, got a tensor of shape {:?}", radius.dims());
    }
    let y = class_labels("worst_logits", y, batch, "the last layer has", classes)?;
    let logits = region.forward(last)?;
    let gaps = match method {
        // Nobody reads them.
        WorstMethod::Ball => Tensor::zeros((2, batch, features), weight.dtype(), weight.device())?,
        WorstMethod::Exact | WorstMethod::Clip { .. } | WorstMethod::Box => region.gaps()?,
    };
    let by_kernel = gpu::has_kernel(weight);
    let by_rule = |rule| match by_kernel {
        true => on_gpu::margin_gap(rule, weight, &gaps, radius, &y),
        false => gap::margin_gap(rule, weight, &gaps, radius, &y),
    };
    let ends = || Ok::<_, candle_core::Error>((gaps.get(0)?, gaps.get(1)?));
    // Elsewhere the forms made of tensor operations stay on the device, at the price of a table of differences; so does the
    // value with the published constant everywhere.
    let on_cpu = weight.device().is_cpu() || by_kernel;
    let gap = match method {
        WorstMethod::Exact => by_rule(Rule::Exact)?,
        WorstMethod::Clip { iterations: 0, .. } => bail!("worst_logits: 0 iterations, at least 1 is needed"),
        WorstMethod::Clip { iterations, constant: 0.0 } if on_cpu => by_rule(Rule::Clip { iterations })?,
        WorstMethod::Ball if on_cpu => by_rule(Rule::Ball)?,
        WorstMethod::Box if on_cpu => by_rule(Rule::Box)?,
        WorstMethod::Clip { iterations, constant } => {
            let (low, high) = ends()?;
            let gap = clip::margin_gap(&differences(weight, &y)?, &low, &high, radius, iterations, constant)?;
            known(&gap, radius)?
        }
        WorstMethod::Ball => known(&ball::margin_gap(&differences(weight, &y)?, radius)?, radius)?,
        WorstMethod::Box => {
            let (low, high) = ends()?;
            interval::margin_gap(&differences(weight, &y)?, &low, &high)?
        }
    };
    add(&logits, &gap)
}

/// A radius that is NaN or infinite comes out as NaN, whatever a method made of it: it certifies nothing. The operations that follow
/// a [`Rule`] do so themselves.
fn known(gap: &Tensor, radius: &Tensor) -> Result<Tensor> {
    gap.broadcast_add(&(radius * 0.0)?.unsqueeze(1)?)
}

/// `w_j - w_y` for every sample and class, `[B, C, features]`.
fn differences(weight: &Tensor, y: &Tensor) -> Result<Tensor> {
    weight.unsqueeze(0)?.broadcast_sub(&weight.index_select(y, 0)?.unsqueeze(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;
    use crate::compute::autograd::backward;
    use candle_core::{DType, Device, Var};

    /// The operation on the host and the forms made of tensor operations are the same function, gradients included.
    #[test]
    fn both_forms_of_the_rise_agree() -> Result<()> {
        let random = Generator::new(21);
        let draw = |shape: &[usize]| random.normal(0.0, 1.0, shape.to_vec(), DType::F64, &Device::Cpu);
        for radius in [0.0, 0.05, 0.8, 4.0] {
            let var = |t: Tensor| Var::from_tensor(&t);
            let (weight, low, high) =
                (var(draw(&[5, 9])?)?, var(draw(&[7, 9])?.abs()?.neg()?)?, var(draw(&[7, 9])?.abs()?)?);
            let r = var((draw(&[7])?.abs()? * radius)?)?;
            let y = Tensor::new(&[0u32, 4, 1, 2, 3, 3, 0], &Device::Cpu)?;
            let d = differences(&weight, &y)?;
            let weights = draw(&[7, 5])?;
            let rules = [Rule::Clip { iterations: 1 }, Rule::Clip { iterations: 4 }, Rule::Ball, Rule::Box];
            for (i, rule) in rules.into_iter().enumerate() {
                let gaps = Tensor::stack(&[low.as_tensor(), high.as_tensor()], 0)?;
                let here = gap::margin_gap(rule, &weight, &gaps, &r, &y)?;
                let there = match i {
                    0 => clip::margin_gap(&d, &low, &high, &r, 1, 0.0)?,
                    1 => clip::margin_gap(&d, &low, &high, &r, 4, 0.0)?,
                    2 => ball::margin_gap(&d, &r)?,
                    _ => interval::margin_gap(&d, &low, &high)?,
                };
                let gap = |a: &Tensor, b: &Tensor| (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
                assert!(gap(&here, &there)? < 1e-12, "{rule:?} at radius {radius}");
                let (a, b) = (backward(&(here * &weights)?)?, backward(&(there * &weights)?)?);
                for (name, var) in [("weight", &weight), ("low", &low), ("high", &high), ("radius", &r)] {
                    // At radius 0 the tensor form has no slope in the radius, by its square root.
                    if name == "radius" && radius == 0.0 {
                        continue;
                    }
                    let zero = var.zeros_like()?;
                    let (a, b) = (a.get(var).unwrap_or(&zero), b.get(var).unwrap_or(&zero));
                    assert!(gap(a, b)? < 1e-10, "{rule:?} at radius {radius}: gradient in {name}");
                }
            }
        }
        Ok(())
    }
}
