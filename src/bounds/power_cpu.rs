//! Power iteration on the CPU: a few samples per core, all their iterations in that core's cache, mask, norm and scaling
//! in the same passes. A sample stops when it has converged, whoever shares its batch.
//!
//! A convolution goes one sample at a time. A linear layer goes in groups of samples, so that one reading of its matrix
//! serves them all; converged samples leave the group.

use super::norm::{Iterated, PowerOptions};
use super::power_tensor::generic;
use crate::compute::conv::{Geometry, Window};
use crate::compute::conv_cpu::{Operand, column_buffer, forward_one, input_one, product};
use crate::compute::element::Element;
use crate::compute::interrupt;
use crate::nn::{Layer, Operation};
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

/// Most samples of a linear layer that iterate together.
const GROUP: usize = 32;

/// See [`super::norm::spectral_norm`]; shapes are checked there. `layer` is a convolution or linear.
pub fn iterate(
    layer: &Layer,
    u: &Tensor,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<Iterated> {
    let Some(weight) = layer.weight() else {
        bail!("spectral_norm: layer {} has no weight", layer.index);
    };
    match weight.dtype() {
        DType::F32 => typed::<f32>(layer, weight, u, columns, rows, options),
        DType::F64 => typed::<f64>(layer, weight, u, columns, rows, options),
        other => bail!("spectral_norm: dtype {other:?} is not supported; use f32 or f64"),
    }
}

fn typed<T: Element>(
    layer: &Layer,
    weight: &Tensor,
    u: &Tensor,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<Iterated> {
    let batch = u.dim(0)?;
    let w = weight.flatten_all()?.to_vec1::<T>()?;
    let map = Map::of(layer, weight, &w)?;
    let mut u = u.to_dtype(T::DTYPE)?.flatten_all()?.to_vec1::<T>()?;
    let flat = |m: Option<&Tensor>| m.map(|m| m.flatten_all()?.to_vec1::<u8>()).transpose();
    let (columns, rows) = (flat(columns)?, flat(rows)?);
    let (n_in, n_out) = (layer.input_len(), layer.output.iter().product::<usize>());
    let mut v = vec![T::ZERO; batch * n_out];
    let group = match map {
        Map::Conv(..) => 1,
        Map::Linear { .. } => batch.div_ceil(rayon::current_num_threads()).clamp(1, GROUP),
    };
    let done: Vec<Vec<Sample>> = u
        .par_chunks_mut(n_in * group)
        .zip(v.par_chunks_mut(n_out * group))
        .enumerate()
        .map_init(
            || map.scratch(),
            |scratch, (chunk, (u, v))| {
                let part = |m: &Option<Vec<u8>>, n: usize| {
                    m.as_ref().map(|m| m[chunk * group * n..][..u.len() / n_in * n].to_vec())
                };
                let masks = (part(&columns, n_in), part(&rows, n_out));
                Group { map: &map, n_in, n_out, columns: masks.0, rows: masks.1, options }.run(u, v, scratch)
            },
        )
        .collect();
    interrupt::check()?;
    let done: Vec<Sample> = done.into_iter().flatten().collect();
    let device = weight.device();
    let shape = |s: &[usize]| [&[batch], s].concat();
    Ok(Iterated {
        sigma: Tensor::from_vec(done.iter().map(|s| T::of(s.sigma)).collect(), batch, device)?,
        u: Tensor::from_vec(u, shape(&layer.input), device)?,
        v: Tensor::from_vec(v, shape(&layer.output), device)?,
        iterations: done.iter().map(|s| s.iterations).collect(),
        converged: done.iter().map(|s| s.converged).collect(),
    })
}

/// The linear map, on slices that hold one or several samples.
enum Map<'a, T> {
    Conv(Geometry, &'a [T]),
    Linear { w: &'a [T], inputs: usize, outputs: usize },
}

impl<'a, T: Element> Map<'a, T> {
    fn of(layer: &Layer, weight: &Tensor, w: &'a [T]) -> Result<Self> {
        match &layer.operation {
            Operation::Conv2d { window, .. } => {
                let window: Window = *window;
                Ok(Self::Conv(Geometry::of_layer(&layer.input, &layer.output, weight, window)?, w))
            }
            _ => Ok(Self::Linear { w, inputs: layer.input_len(), outputs: layer.output.iter().product() }),
        }
    }

    fn scratch(&self) -> Vec<T> {
        match self {
            Self::Conv(g, _) => column_buffer(g),
            Self::Linear { .. } => vec![],
        }
    }

    /// `v = W u`.
    fn forward(&self, u: &[T], v: &mut [T], scratch: &mut [T]) {
        match self {
            Self::Conv(g, w) => forward_one(g, u, w, v, scratch),
            Self::Linear { w, inputs, outputs } => {
                let samples = u.len() / inputs;
                product(samples, *outputs, *inputs, Operand::rows(u, *inputs), Operand::columns(w, *inputs), v, false);
            }
        }
    }

    /// `u = W^T v`.
    fn adjoint(&self, v: &[T], u: &mut [T], scratch: &mut [T]) {
        match self {
            Self::Conv(g, w) => input_one(g, v, w, u, scratch),
            Self::Linear { w, inputs, outputs } => {
                let samples = v.len() / outputs;
                product(samples, *inputs, *outputs, Operand::rows(v, *outputs), Operand::rows(w, *inputs), u, false);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Sample {
    sigma: f64,
    iterations: u32,
    converged: bool,
}

/// Some samples that iterate together on one core.
struct Group<'a, T> {
    map: &'a Map<'a, T>,
    n_in: usize,
    n_out: usize,
    columns: Option<Vec<u8>>,
    rows: Option<Vec<u8>>,
    options: PowerOptions,
}

impl<T: Element> Group<'_, T> {
    /// Iterate all samples of `u`; their vectors end in `u` and `v`, in place.
    fn run(&self, u: &mut [T], v: &mut [T], scratch: &mut [T]) -> Vec<Sample> {
        let (n, m) = (self.n_in, self.n_out);
        let samples = u.len() / n;
        let mut results = vec![Sample { sigma: 0.0, iterations: 0, converged: false }; samples];
        // The samples at work, in the order of their places in the working buffers.
        let mut active: Vec<usize> = (0..samples).collect();
        let (mut a, mut b, mut next) = (u.to_vec(), vec![T::ZERO; samples * m], vec![T::ZERO; samples * n]);
        for (k, s) in active.iter().enumerate() {
            mask(&mut a[k * n..][..n], self.mask_of(&self.columns, *s, n));
        }
        for iteration in 0..self.options.iterations {
            if interrupt::requested() || active.is_empty() {
                break;
            }
            let count = active.len();
            self.map.forward(&a[..count * n], &mut b[..count * m], scratch);
            for (k, s) in active.iter().enumerate() {
                let (a, b) = (&mut a[k * n..][..n], &mut b[k * m..][..m]);
                mask(b, self.mask_of(&self.rows, *s, m));
                if normalize(b) == 0.0 && iteration == 0 {
                    self.restart(*s, a, b, scratch);
                }
            }
            self.map.adjoint(&b[..count * m], &mut next[..count * n], scratch);
            let mut stay = 0;
            for k in 0..count {
                let s = active[k];
                let fresh = &mut next[k * n..][..n];
                mask(fresh, self.mask_of(&self.columns, s, n));
                let sigma = normalize(fresh);
                let result = &mut results[s];
                (result.sigma, result.iterations) = (sigma, iteration as u32 + 1);
                let still = self.options.tolerance.is_some_and(|t| distance(&a[k * n..][..n], fresh) <= t);
                if sigma == 0.0 || still || iteration + 1 == self.options.iterations {
                    result.converged |= sigma == 0.0 || still;
                    u[s * n..][..n].copy_from_slice(fresh);
                    v[s * m..][..m].copy_from_slice(&b[k * m..][..m]);
                } else {
                    a[stay * n..][..n].copy_from_slice(fresh);
                    active[stay] = s;
                    stay += 1;
                }
            }
            active.truncate(stay);
        }
        results
    }

    /// A start vector in the null space of the masked map, or zero: begin again from a generic one.
    fn restart(&self, sample: usize, u: &mut [T], v: &mut [T], scratch: &mut [T]) {
        u.iter_mut().enumerate().for_each(|(i, u)| *u = T::of(generic(i)));
        mask(u, self.mask_of(&self.columns, sample, self.n_in));
        self.map.forward(u, v, scratch);
        mask(v, self.mask_of(&self.rows, sample, self.n_out));
        normalize(v);
    }

    fn mask_of<'m>(&self, mask: &'m Option<Vec<u8>>, sample: usize, n: usize) -> Option<&'m [u8]> {
        mask.as_ref().map(|m| &m[sample * n..][..n])
    }
}

fn mask<T: Element>(x: &mut [T], mask: Option<&[u8]>) {
    if let Some(mask) = mask {
        for (x, m) in x.iter_mut().zip(mask) {
            *x = if *m == 0 { T::ZERO } else { *x };
        }
    }
}

/// Divide by the norm, which is returned; zero stays zero. Sums in f64, so f32 can neither overflow nor underflow.
fn normalize<T: Element>(x: &mut [T]) -> f64 {
    let mut peak = 1.0;
    let mut sum = squares(x, 1.0);
    if !(1e-200..1e200).contains(&sum) {
        peak = x.iter().fold(0.0, |m: f64, x| m.max(x.wide().abs()));
        if peak == 0.0 {
            return if sum == 0.0 { 0.0 } else { f64::NAN };
        }
        sum = squares(x, peak);
    }
    let norm = peak * sum.sqrt();
    let factor = 1.0 / norm;
    if factor.is_finite() {
        x.iter_mut().for_each(|x| *x = T::of(x.wide() * factor));
    } else {
        x.iter_mut().for_each(|x| *x = T::of(x.wide() / norm));
    }
    norm
}

/// `sum (x / scale)^2` in f64, in eight interleaved sums.
fn squares<T: Element>(x: &[T], scale: f64) -> f64 {
    lanes(x.len(), |i| {
        let x = x[i].wide() / scale;
        x * x
    })
}

fn distance<T: Element>(a: &[T], b: &[T]) -> f64 {
    let (a, b) = (&a[..b.len()], b);
    lanes(b.len(), |i| {
        let d = a[i].wide() - b[i].wide();
        d * d
    })
    .sqrt()
}

/// A sum in an order that the compiler can run in parallel lanes, always the same.
fn lanes(n: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    let whole = n / 8 * 8;
    for at in (0..whole).step_by(8) {
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum += term(at + k);
        }
    }
    (whole..n).for_each(|i| sums[i - whole] += term(i));
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_survive_extreme_scales() {
        for scale in [1e-300, 1e-160, 1.0, 1e160, 1e300] {
            let mut x = [3.0 * scale, 4.0 * scale];
            let norm = normalize(&mut x);
            assert!((norm / scale - 5.0).abs() < 1e-12, "{scale:e}: {norm:e}");
            assert!((x[0] - 0.6).abs() < 1e-12 && (x[1] - 0.8).abs() < 1e-12);
        }
        assert_eq!(normalize(&mut [0.0f32; 3]), 0.0);
        assert!(normalize(&mut [f32::NAN, 1.0]).is_nan());
    }
}
