//! The certified margin of a sample, from below, with rounding accounted for
//!
//! ```text
//! margin = min over j != y of  (w_y - w_j) . center + b_y - b_j - rise_j - slack_j
//! rise_j = min of  lambda r^2 + sum_i max_t in box (D_i t - lambda t^2)     the dual, at one lambda: above the maximum for every lambda
//!                  r ||D||          the ball alone
//!                  D . corner       the box alone                          D = w_j - w_y
//! ```
//!
//! Any lambda >= 0 gives a true upper bound of the rise over ball and box (weak duality), so nothing rests on how well the
//! maximum was found. slack_j bounds the rounding of the sums, gamma(n + 24) times the sum of their terms' sizes, and what underflows:
//! a product of numbers next to nothing is off by up to half the least number (2^-1074), whatever its size. Above 0, no
//! point of the ball gets another label; NaN and infinities stay what they are and certify nothing. For a network that
//! runs in f32 what its execution can lose against each class ([`crate::bounds::execution`]) is subtracted too.

use crate::bounds::execution::Execution;
use crate::bounds::margin::worst_solve::{Rule, maximize};
use crate::bounds::region::Region;
use crate::bounds::upper::rounding::{UNIT, gamma, scale};
use crate::compute::labels::class_labels;
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

/// Certified margins `[B]` for labels `y`: `last` is the network's last layer, linear; `region` an outward region before it;
/// `radius` `[B]` bounds how far the features can lie from its center; `execution`, if the network runs in f32, how far those it
/// computes lie from exact ones.
pub fn certified_margins(
    last: &Layer,
    region: &Region,
    radius: &Tensor,
    y: &Tensor,
    execution: Option<&Execution>,
) -> Result<Tensor> {
    let Some(Dense::Matrix { weight, bias, .. }) = last.dense() else {
        bail!(
            "certified_margins: the last layer must be linear, it is {}; end the network with linear(classes)",
            last.title()
        )
    };
    // A difference of weights that are themselves rounded sums is not rounded relatively to itself.
    if last.affine("certified_margins")?.weight_roundings() > 0 {
        bail!(
            "certified_margins: the weights of the last layer, {}, are sums that were rounded; end the network with linear(classes)",
            last.title()
        );
    }
    if region.rounding.is_none() {
        bail!(
            "certified_margins: the region was not rounded outward; begin with ball_and_box(x, eps, #{{ outward: true }})"
        );
    }
    let (classes, features) = weight.dims2()?;
    let batch = region.dims()[0];
    if region.dims() != [batch, features] || radius.dims() != [batch] {
        bail!(
            "certified_margins: the region has shape {:?} and the radius {:?}, the last layer wants {:?} and {:?}",
            region.dims(),
            radius.dims(),
            [batch, features],
            [batch]
        );
    }
    let labels = class_labels("certified_margins", y, batch, "the last layer has", classes)?.to_vec1::<u32>()?;
    let losses = execution.map(|e| e.margin_losses(last, region, radius, &labels)).transpose()?;
    let read = |t: &Tensor| t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let weight = read(&weight)?;
    let bias = bias.as_ref().map_or(Ok(vec![0.0; classes]), read)?;
    let (center, lower, upper) = (read(&region.center()?)?, read(&region.lower()?)?, read(&region.upper()?)?);
    let radius = read(radius)?;
    let margins: Vec<f64> = (0..batch)
        .into_par_iter()
        .map(|b| {
            let part = |values: &[f64]| values[b * features..][..features].to_vec();
            let sample = Sample { center: part(&center), lower: part(&lower), upper: part(&upper), radius: radius[b] };
            let (own, label) = (&weight[labels[b] as usize * features..][..features], labels[b] as usize);
            let others = (0..classes).filter(|j| *j != label).map(|j| {
                let direction: Vec<f64> =
                    weight[j * features..][..features].iter().zip(own).map(|(j, y)| j - y).collect();
                let margin = sample.margin(&direction, bias[label], bias[j]);
                losses.as_ref().map_or(margin, |losses| less(margin, losses[b * classes + j]))
            });
            // A minimum that keeps a NaN.
            others.fold(f64::INFINITY, |least, m| if m < least || m.is_nan() { m } else { least })
        })
        .collect();
    Tensor::from_vec(margins, batch, &Device::Cpu)
}

/// The least number above 0, 2^-1074.
const LEAST: f64 = f64::from_bits(1);

/// `margin - loss`, rounded down.
fn less(margin: f64, loss: f64) -> f64 {
    (margin - loss) - 2.0 * UNIT * (margin.abs() + loss)
}

struct Sample {
    center: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    radius: f64,
}

impl Sample {
    /// The margin against one class, `direction` = w_j - w_y.
    fn margin(&self, direction: &[f64], bias_y: f64, bias_j: f64) -> f64 {
        // Scaled by a power of two, so that squares of tiny weights do not vanish.
        let Some(scale) = scale(direction) else { return f64::NAN };
        let direction: Vec<f64> = direction.iter().map(|d| d * scale).collect();
        let margin = self.scaled_margin(&direction, bias_y * scale, bias_j * scale) / scale;
        // A quotient that is next to nothing was rounded to a multiple of the least number.
        if margin.abs() < f64::MIN_POSITIVE { margin.next_down() } else { margin }
    }

    /// What underflows, at most: of each term a few products, each off by half the least number times what it is multiplied with.
    fn underflow(&self, low: &[f64], high: &[f64]) -> f64 {
        let sizes: f64 = self.center.iter().zip(low.iter().zip(high)).map(|(c, (l, h))| 1.0 + c.abs() - l + h).sum();
        8.0 * LEAST * (1.0 + sizes + self.radius * (1.0 + low.len() as f64))
    }

    fn scaled_margin(&self, direction: &[f64], bias_y: f64, bias_j: f64) -> f64 {
        let n = direction.len();
        let outward = |end: f64, center: f64| ((end - center), 4.0 * UNIT * (end.abs() + center.abs()));
        let low: Vec<f64> =
            self.lower.iter().zip(&self.center).map(|(l, c)| outward(*l, *c)).map(|(d, e)| (d - e).min(0.0)).collect();
        let high: Vec<f64> =
            self.upper.iter().zip(&self.center).map(|(u, c)| outward(*u, *c)).map(|(d, e)| (d + e).max(0.0)).collect();
        // `min` and `max` would swallow a NaN of the box.
        let broken =
            self.lower.iter().chain(&self.upper).chain(&self.center).chain([&self.radius]).any(|x| !x.is_finite());
        if broken {
            return f64::NAN;
        }
        let (mut value, mut size) = (bias_y - bias_j, bias_y.abs() + bias_j.abs());
        for (d, c) in direction.iter().zip(&self.center) {
            value -= d * c;
            size += (d * c).abs();
        }
        let g = gamma(n + 24);
        // A direction is a difference of weights, itself rounded once: that too is within the slack.
        value - (size * g + self.underflow(&low, &high)) - self.margin_gap(direction, &low, &high, g)
    }

    fn margin_gap(&self, direction: &[f64], low: &[f64], high: &[f64], g: f64) -> f64 {
        let ball = self.radius * direction.iter().map(|d| d * d).sum::<f64>().sqrt() * (1.0 + 2.0 * g);
        let corner: f64 = direction.iter().zip(low.iter().zip(high)).map(|(d, (l, h))| (d * l).max(d * h)).sum::<f64>()
            * (1.0 + 2.0 * g);
        let best = maximize(Rule::Exact, direction, low, high, self.radius);
        let lambda = 0.5 / best.scale;
        let least = if ball < corner || corner.is_nan() { ball } else { corner };
        if !(lambda > 0.0 && lambda.is_finite()) {
            return least;
        }
        let (mut value, mut size) = (lambda * self.radius * self.radius, lambda * self.radius * self.radius);
        for (d, (l, h)) in direction.iter().zip(low.iter().zip(high)) {
            let t = (d / (2.0 * lambda)).clamp(*l, *h);
            value += d * t - lambda * t * t;
            size += (d * t).abs() + lambda * t * t;
        }
        let dual = value + 2.0 * g * size;
        if dual < least { dual } else { least }
    }
}
