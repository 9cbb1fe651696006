//! The rise of every logit against the label's as one operation, so that no table of all differences w_j - w_y is ever
//! made, whatever the method: at 200 classes and 9216 features that would be 0.9 GiB for 128 samples, several times
//! over.
//!
//! Solved in f64 whatever the dtype, on the host, samples in parallel; the gradient solves again rather than keep the points.
//! Sums over samples run in a fixed order, whatever the number of threads.

use crate::bounds::margin::worst_solve::{Maximum, Rule, maximize};
use crate::compute::autograd::{Of, differentiable};
use crate::compute::element::{Element, for_float, slice};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Samples whose gradients in the weight are summed one after the other; the sums of all such groups are then added.
const GROUP: usize = 16;

/// The rise `[B, C]`: `weight` `[C, F]`, `gaps` `[2, B, F]`, low <= 0 <= high, `radius` `[B]`, `y` `[B]` u32. All of a sample's are NaN
/// where its radius is NaN or infinite, and the rule reads it.
pub fn margin_gap(rule: Rule, weight: &Tensor, gaps: &Tensor, radius: &Tensor, y: &Tensor) -> Result<Tensor> {
    let labels = y.to_vec1::<u32>()?;
    let host = |t: &Tensor| t.to_device(&Device::Cpu)?.contiguous();
    let (weights, bounds, radii) = (host(weight)?, host(gaps)?, host(radius)?);
    let rise = Rise { labels, rule };
    let (w, b, r) = (weights.detach(), bounds.detach(), radii.detach());
    let value = w.apply_op3_no_bwd(&b, &r, &rise)?;
    let value =
        differentiable("worst_logits", value, [&weights, &bounds, &radii], move |g, _| rise.gradients(&w, &b, &r, g))?;
    value.to_device(weight.device())
}

struct Rise {
    labels: Vec<u32>,
    rule: Rule,
}

/// The arguments of one forward pass as f64, and what each sample needs of them.
struct Problem<'a> {
    rule: Rule,
    weight: Vec<f64>,
    bounds: Vec<f64>,
    radius: Vec<f64>,
    labels: &'a [u32],
    classes: usize,
    features: usize,
}

/// Gradients of one group of samples.
struct Gradients {
    weight: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
    radius: Vec<f64>,
}

impl Problem<'_> {
    fn direction(&self, sample: usize, class: usize) -> Vec<f64> {
        let row = |c: usize| &self.weight[c * self.features..][..self.features];
        row(class).iter().zip(row(self.labels[sample] as usize)).map(|(j, y)| j - y).collect()
    }

    fn solve(&self, sample: usize, direction: &[f64]) -> Maximum {
        let (low, high) = self.bounds.split_at(self.bounds.len() / 2);
        let [low, high] = [low, high].map(|end| &end[sample * self.features..][..self.features]);
        maximize(self.rule, direction, low, high, self.radius[sample])
    }

    /// Gradients of `sum g_bj rise_bj`.
    fn gradients(&self, g: &[f64]) -> Gradients {
        let samples: Vec<usize> = (0..self.labels.len()).collect();
        let groups: Vec<Gradients> = samples.par_chunks(GROUP).map(|group| self.of_group(group, g)).collect();
        let weight = vec![0.0; self.classes * self.features];
        let mut all = Gradients { weight, low: vec![], high: vec![], radius: vec![] };
        for group in groups {
            all.weight.iter_mut().zip(group.weight).for_each(|(sum, d)| *sum += d);
            all.low.extend(group.low);
            all.high.extend(group.high);
            all.radius.extend(group.radius);
        }
        all
    }

    fn of_group(&self, group: &[usize], g: &[f64]) -> Gradients {
        let features = self.features;
        let mut sum = Gradients {
            weight: vec![0.0; self.classes * features],
            low: vec![0.0; group.len() * features],
            high: vec![0.0; group.len() * features],
            radius: vec![0.0; group.len()],
        };
        for (at, &b) in group.iter().enumerate() {
            let label = self.labels[b] as usize;
            for j in (0..self.classes).filter(|j| *j != label) {
                let g = g[b * self.classes + j];
                if g == 0.0 {
                    continue;
                }
                let direction = self.direction(b, j);
                let m = self.solve(b, &direction);
                sum.radius[at] += g * m.in_radius(&direction, self.radius[b]);
                for i in 0..features {
                    sum.weight[j * features + i] += g * m.point[i];
                    sum.weight[label * features + i] -= g * m.point[i];
                    if let Some(pull) = m.in_box(&direction, i) {
                        let end = if direction[i] > 0.0 { &mut sum.high } else { &mut sum.low };
                        end[at * features + i] += g * pull;
                    }
                }
            }
        }
        sum
    }
}

fn wide<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.wide()).collect()
}

impl CustomOp3 for Rise {
    fn name(&self) -> &'static str {
        "worst_logits"
    }

    fn cpu_fwd(
        &self,
        w: &CpuStorage,
        lw: &Layout,
        bounds: &CpuStorage,
        lb: &Layout,
        r: &CpuStorage,
        lr: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (classes, features) = lw.shape().dims2()?;
        for_float!(self.name(), w, T => {
            let problem = Problem {
                rule: self.rule,
                weight: wide(slice::<T>(self.name(), w, lw)?),
                bounds: wide(slice::<T>(self.name(), bounds, lb)?),
                radius: wide(slice::<T>(self.name(), r, lr)?),
                labels: &self.labels,
                classes,
                features,
            };
            let rise: Vec<T> = (0..self.labels.len() * classes)
                .into_par_iter()
                .map(|at| {
                    let (b, j) = (at / classes, at % classes);
                    let radius = problem.radius[b];
                    if !radius.is_finite() && self.rule != Rule::Box {
                        return T::of(f64::NAN);
                    }
                    if j == self.labels[b] as usize {
                        return T::ZERO;
                    }
                    T::of(problem.solve(b, &problem.direction(b, j)).value)
                })
                .collect();
            let shape = Shape::from((self.labels.len(), classes));
            Ok((candle_core::WithDType::to_cpu_storage_owned(rise), shape))
        })
    }
}

impl Rise {
    fn gradients(&self, w: &Tensor, bounds: &Tensor, r: &Tensor, g: &Tensor) -> Result<Of> {
        let (classes, features) = w.dims2()?;
        let read = |t: &Tensor| t.detach().to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let (labels, rule) = (&self.labels, self.rule);
        let problem =
            Problem { rule, weight: read(w)?, bounds: read(bounds)?, radius: read(r)?, labels, classes, features };
        let found = problem.gradients(&read(g)?);
        let back = |values: Vec<f64>, like: &Tensor| {
            Tensor::from_vec(values, like.shape(), &Device::Cpu)?.to_dtype(like.dtype()).map(Some)
        };
        Ok((back(found.weight, w)?, back([found.low, found.high].concat(), bounds)?, back(found.radius, r)?))
    }
}
