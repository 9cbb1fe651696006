//! Worst logits exactly: maximise D . d over ||d|| <= r, low <= d <= high, with D = w_j - w_y and low <= 0 <= high
//!
//! ```text
//! corner   d_i = high_i where D_i > 0, low_i where D_i < 0, 0 where D_i = 0; if ||corner|| <= r it is the solution
//! else     d_i = clip(s D_i, low_i, high_i), s = 1 / (2 lambda) from ||d|| = r: the breakpoints s_i = corner_i / D_i
//!          sorted, s^2 = (r^2 - sum of corner_i^2 below) / (sum of D_i^2 above)
//! gradient in D: d;   in high_i or low_i where clipped: D_i - d_i / s (D_i at the corner);   in r: r / s (0 at the corner)
//! ```
//!
//! Solved in f64 whatever the dtype, on the host, samples in parallel; the gradient solves again rather than keep d.

use crate::compute::element::{Element, for_float, slice};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// The rise `[B, C]`: `weight` `[C, F]`, `low` and `high` `[B, F]`, `radius` `[B]`, `y` `[B]` u32.
pub fn rise(weight: &Tensor, low: &Tensor, high: &Tensor, radius: &Tensor, y: &Tensor) -> Result<Tensor> {
    let labels = y.to_vec1::<u32>()?;
    let bounds = Tensor::cat(&[low, high], 1)?;
    let host = |t: &Tensor| t.to_device(&Device::Cpu)?.contiguous();
    let value = host(weight)?.apply_op3(&host(&bounds)?, &host(radius)?, Rise { labels })?;
    value.to_device(weight.device())
}

/// One maximisation: its value, its point and its multiplier.
#[derive(Clone, Debug)]
pub struct Maximum {
    pub value: f64,
    /// The maximising d.
    pub point: Vec<f64>,
    /// `s = 1 / (2 lambda)`; infinite where the corner is the solution.
    pub scale: f64,
}

/// Maximise `direction . d` over `||d|| <= radius`, `low <= d <= high`. A NaN anywhere gives the value NaN.
pub fn maximize(direction: &[f64], low: &[f64], high: &[f64], radius: f64) -> Maximum {
    let corner: Vec<f64> = direction
        .iter()
        .zip(low.iter().zip(high))
        .map(|(d, (low, high))| {
            if *d > 0.0 {
                *high
            } else if *d < 0.0 {
                *low
            } else {
                0.0 * *d
            }
        })
        .collect();
    let dot = |d: &[f64]| direction.iter().zip(d).map(|(a, b)| a * b).sum::<f64>();
    let squares: f64 = corner.iter().map(|c| c * c).sum();
    if squares.is_nan() || radius.is_nan() {
        return Maximum { value: f64::NAN, point: corner, scale: f64::INFINITY };
    }
    if squares <= radius * radius {
        return Maximum { value: dot(&corner), point: corner, scale: f64::INFINITY };
    }
    let mut order: Vec<(f64, usize)> =
        (0..direction.len()).filter(|i| direction[*i] != 0.0).map(|i| (corner[i] / direction[i], i)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Sums of D^2 over what lies above each breakpoint, added from the end so that small terms keep their digits.
    let mut above = vec![0.0; order.len() + 1];
    for (k, (_, i)) in order.iter().enumerate().rev() {
        above[k] = above[k + 1] + direction[*i] * direction[*i];
    }
    let (mut below, mut scale) = (0.0, f64::INFINITY);
    for (k, (breakpoint, i)) in order.iter().enumerate() {
        // With everything from k on free: does the ball end before this breakpoint?
        let candidate = ((radius * radius - below).max(0.0) / above[k]).sqrt();
        if candidate <= *breakpoint {
            scale = candidate;
            break;
        }
        below += corner[*i] * corner[*i];
    }
    let point: Vec<f64> =
        corner.iter().zip(direction).map(|(c, d)| if (scale * d).abs() < c.abs() { scale * d } else { *c }).collect();
    Maximum { value: dot(&point), point, scale }
}

struct Rise {
    labels: Vec<u32>,
}

/// The arguments of one forward pass as f64, and what each sample needs of them.
struct Problem<'a> {
    weight: Vec<f64>,
    bounds: Vec<f64>,
    radius: Vec<f64>,
    labels: &'a [u32],
    classes: usize,
    features: usize,
}

impl Problem<'_> {
    fn direction(&self, sample: usize, class: usize) -> Vec<f64> {
        let row = |c: usize| &self.weight[c * self.features..][..self.features];
        row(class).iter().zip(row(self.labels[sample] as usize)).map(|(j, y)| j - y).collect()
    }

    fn solve(&self, sample: usize, direction: &[f64]) -> Maximum {
        let bounds = &self.bounds[sample * 2 * self.features..][..2 * self.features];
        let (low, high) = bounds.split_at(self.features);
        maximize(direction, low, high, self.radius[sample])
    }

    /// Gradients (weight, bounds, radius) of `sum g_bj rise_bj`, summed over samples in a fixed order.
    fn gradients(&self, g: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (classes, features) = (self.classes, self.features);
        let samples: Vec<_> = (0..self.labels.len())
            .into_par_iter()
            .map(|b| {
                let (mut dw, mut dbounds, mut dr) = (vec![0.0; classes * features], vec![0.0; 2 * features], 0.0);
                let label = self.labels[b] as usize;
                for j in (0..classes).filter(|j| *j != label) {
                    let direction = self.direction(b, j);
                    let m = self.solve(b, &direction);
                    let g = g[b * classes + j];
                    if m.scale.is_finite() && m.scale > 0.0 {
                        dr += g * self.radius[b] / m.scale;
                    } else if m.scale == 0.0 {
                        // Radius 0: the ball's end moves along D itself.
                        dr += g * direction.iter().map(|d| d * d).sum::<f64>().sqrt();
                    }
                    for i in 0..features {
                        let (d, x) = (direction[i], m.point[i]);
                        dw[j * features + i] += g * x;
                        dw[label * features + i] -= g * x;
                        let pull = if m.scale.is_infinite() { d } else { d - x / m.scale };
                        let clipped = m.scale.is_infinite() || (m.scale * d).abs() >= x.abs() && x != m.scale * d;
                        if clipped && d != 0.0 {
                            dbounds[if d > 0.0 { features + i } else { i }] += g * pull;
                        }
                    }
                }
                (dw, dbounds, dr)
            })
            .collect();
        let mut weight = vec![0.0; classes * features];
        let (mut bounds, mut radius) = (vec![], vec![]);
        for (dw, dbounds, dr) in samples {
            weight.iter_mut().zip(dw).for_each(|(sum, d)| *sum += d);
            bounds.extend(dbounds);
            radius.push(dr);
        }
        (weight, bounds, radius)
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

    fn bwd(
        &self,
        w: &Tensor,
        bounds: &Tensor,
        r: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (classes, features) = w.dims2()?;
        let read = |t: &Tensor| t.detach().to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let labels = &self.labels;
        let problem = Problem { weight: read(w)?, bounds: read(bounds)?, radius: read(r)?, labels, classes, features };
        let (dw, dbounds, dr) = problem.gradients(&read(g)?);
        let back = |values: Vec<f64>, like: &Tensor| {
            Tensor::from_vec(values, like.shape(), &Device::Cpu)?.to_dtype(like.dtype()).map(Some)
        };
        Ok((back(dw, w)?, back(dbounds, bounds)?, back(dr, r)?))
    }
}
