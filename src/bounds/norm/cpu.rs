//! Power iteration on the CPU: a few samples per core, all their iterations in that core's cache, mask, norm and scaling
//! in the same passes. A sample stops when it has converged, whoever shares its batch.
//!
//! A convolution goes one sample at a time, by direct kernels where there are any (`direct`). A linear layer goes in
//! groups of samples, so that one reading of its matrix serves them all; converged samples leave the group.

use super::options::PowerOptions;
use super::vectors::{Iterated, Sample, SingularVectors, Task};
use crate::base::interrupt;
use crate::bounds::norm::direct::Direct;
use crate::bounds::norm::tensor::generic;
use crate::compute::conv::Geometry;
use crate::compute::conv::matrix::{column_buffer, forward_one, input_one};
use crate::compute::element::{Element, Host};
use crate::compute::linear::products::{columns, rows};
use crate::compute::unwritten::{fill, unwritten, written};
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Most samples of a linear layer that iterate together.
const GROUP: usize = 256;

/// See [`crate::bounds::spectral_norm`]; shapes are checked there. The layer is a convolution or linear.
pub fn iterate(task: &Task, u: &Tensor) -> Result<Iterated> {
    let layer = task.layer;
    let Some(Dense::Convolution { weight, .. } | Dense::Matrix { weight, .. }) = layer.dense() else {
        bail!("spectral_norm: {} is neither a convolution nor linear", layer.title());
    };
    let weight = &weight;
    match weight.dtype() {
        DType::F32 => typed::<f32>(task, weight, u),
        DType::F64 => typed::<f64>(task, weight, u),
        other => bail!("spectral_norm: dtype {other:?} is not supported; use f32 or f64"),
    }
}

fn typed<T: Element>(task: &Task, weight: &Tensor, u: &Tensor) -> Result<Iterated> {
    let (Task { layer, options, first, .. }, batch) = (*task, u.dim(0)?);
    let masks = (task.columns.map(Tensor::contiguous).transpose()?, task.rows.map(Tensor::contiguous).transpose()?);
    let tensors = (weight.contiguous()?, u.to_dtype(T::DTYPE)?.contiguous()?);
    let (weight, u) = (Host::of(&tensors.0), Host::of(&tensors.1));
    let masks = (masks.0.as_ref().map(Host::of), masks.1.as_ref().map(Host::of));
    let (w, start) = (weight.slice::<T>()?, u.slice::<T>()?);
    let columns = masks.0.as_ref().map(Host::slice::<u8>).transpose()?;
    let rows = masks.1.as_ref().map(Host::slice::<u8>).transpose()?;
    let map = Map::of(layer, &tensors.0, w)?;
    let direct = map.direct(options, batch == 1);
    let (n_in, n_out) = (layer.input_len(), layer.output.iter().product::<usize>());
    let (mut u, mut v) = (unwritten(batch * n_in), unwritten(batch * n_out));
    // Samples of a linear layer share each reading of its matrix, and the cores share the products.
    let group = if matches!(map, Map::Conv(..)) { 1 } else { batch.clamp(1, GROUP) };
    let one = |chunk: usize, start: &[T], u: &mut [MaybeUninit<T>], v: &mut [MaybeUninit<T>], scratch: &mut Vec<T>| {
        let samples = start.len() / n_in;
        // A vector beyond the masks has none.
        let masked = first.saturating_sub(chunk * group).min(samples);
        let own = |n| chunk * group * n..(chunk * group + masked) * n;
        let (columns, rows) = (columns.filter(|_| masked > 0), rows.filter(|_| masked > 0));
        let masks = (columns.map(|m| &m[own(n_in)]), rows.map(|m| &m[own(n_out)]));
        let rooms = (T::as_f32_room(u), T::as_f32_room(v));
        if let Some(sample) = direct.run(T::as_f32(start), rooms, masks, options) {
            return vec![sample];
        }
        if scratch.is_empty() {
            *scratch = map.scratch();
        }
        // Zero where an interrupted iteration leaves nothing.
        let (u, v) = (fill(u, |i| start[i]), fill(v, |_| T::ZERO));
        Group { map: &map, n_in, n_out, columns: masks.0, rows: masks.1, options }.run(u, v, scratch)
    };
    let done: Vec<Vec<Sample>> = if group == 1 {
        let rooms = u.par_chunks_mut(n_in).zip(v.par_chunks_mut(n_out)).zip(start.par_chunks(n_in)).enumerate();
        rooms.map_init(Vec::new, |scratch, (chunk, ((u, v), start))| one(chunk, start, u, v, scratch)).collect()
    } else {
        let rooms = u.chunks_mut(n_in * group).zip(v.chunks_mut(n_out * group)).zip(start.chunks(n_in * group));
        rooms.enumerate().map(|(chunk, ((u, v), start))| one(chunk, start, u, v, &mut vec![])).collect()
    };
    interrupt::check()?;
    let done: Vec<Sample> = done.into_iter().flatten().collect();
    // SAFETY: every sample has written its vectors.
    let (u, v) = unsafe { (written(u), written(v)) };
    let device = tensors.0.device();
    let shape = |s: &[usize]| [&[batch], s].concat();
    Ok(Iterated {
        sigma: task.split(&Tensor::from_vec(done.iter().map(|s| T::of(s.sigma)).collect(), batch, device)?)?,
        u: SingularVectors::of(Tensor::from_vec(u, shape(&layer.input), device)?),
        v: SingularVectors::of(Tensor::from_vec(v, shape(&layer.output), device)?),
        iterations: done.iter().map(|s| s.iterations).collect(),
        converged: done.iter().map(|s| s.converged).collect(),
    })
}

/// The linear map, on slices that hold one or several samples.
enum Map<'a, T> {
    Conv(Geometry, &'a [T]),
    Linear { w: &'a [T], inputs: usize },
}

impl<'a, T: Element> Map<'a, T> {
    fn of(layer: &Layer, weight: &Tensor, w: &'a [T]) -> Result<Self> {
        match layer.dense() {
            Some(Dense::Convolution { window, .. }) => {
                Ok(Self::Conv(Geometry::of_layer(&layer.input, &layer.output, weight, window)?, w))
            }
            Some(Dense::Matrix { .. }) => Ok(Self::Linear { w, inputs: layer.input_len() }),
            Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => {
                bail!("spectral_norm: {} is neither a convolution nor linear", layer.title())
            }
        }
    }

    /// The faster way through a convolution, where there is one.
    fn direct(&self, options: PowerOptions, alone: bool) -> Direct {
        match self {
            Self::Conv(g, w) => T::as_f32(w).map_or(Direct::NONE, |w| Direct::new(g, w, options.arithmetic, alone)),
            Self::Linear { .. } => Direct::NONE,
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
            Self::Linear { w, inputs } => rows(u, w, *inputs, false, v),
        }
    }

    /// `u = W^T v`.
    fn adjoint(&self, v: &[T], u: &mut [T], scratch: &mut [T]) {
        match self {
            Self::Conv(g, w) => input_one(g, v, w, u, scratch),
            Self::Linear { w, inputs } => columns(v, w, *inputs, false, u),
        }
    }
}

/// Some samples that iterate together on one core.
struct Group<'a, T> {
    map: &'a Map<'a, T>,
    n_in: usize,
    n_out: usize,
    columns: Option<&'a [u8]>,
    rows: Option<&'a [u8]>,
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
            mask(&mut a[k * n..][..n], self.mask_of(self.columns, *s, n));
        }
        for iteration in 0..self.options.iterations {
            if interrupt::requested() || active.is_empty() {
                break;
            }
            let count = active.len();
            self.map.forward(&a[..count * n], &mut b[..count * m], scratch);
            let dead: Vec<bool> = b[..count * m]
                .par_chunks_mut(m)
                .zip(&active)
                .map(|(b, s)| {
                    mask(b, self.mask_of(self.rows, *s, m));
                    normalize(b) == 0.0 && iteration == 0
                })
                .collect();
            for (k, s) in active.iter().enumerate().filter(|(k, _)| dead[*k]) {
                self.restart(*s, &mut a[k * n..][..n], &mut b[k * m..][..m], scratch);
            }
            self.map.adjoint(&b[..count * m], &mut next[..count * n], scratch);
            let moves: Vec<(f64, bool)> = next[..count * n]
                .par_chunks_mut(n)
                .zip(a.par_chunks(n))
                .zip(&active)
                .map(|((next, a), s)| {
                    mask(next, self.mask_of(self.columns, *s, n));
                    let sigma = normalize(next);
                    (sigma, self.options.tolerance.is_some_and(|t| distance(a, next) <= t))
                })
                .collect();
            let last = iteration + 1 == self.options.iterations;
            let mut stay = 0;
            for (k, (sigma, still)) in moves.into_iter().enumerate() {
                let s = active[k];
                let result = &mut results[s];
                (result.sigma, result.iterations) = (sigma, iteration as u32 + 1);
                if sigma == 0.0 || still || last {
                    result.converged |= sigma == 0.0 || still;
                    u[s * n..][..n].copy_from_slice(&next[k * n..][..n]);
                    v[s * m..][..m].copy_from_slice(&b[k * m..][..m]);
                } else {
                    if stay < k {
                        next.copy_within(k * n..(k + 1) * n, stay * n);
                    }
                    active[stay] = s;
                    stay += 1;
                }
            }
            std::mem::swap(&mut a, &mut next);
            active.truncate(stay);
        }
        results
    }

    /// A start vector in the null space of the masked map, or zero: begin again from a generic one.
    fn restart(&self, sample: usize, u: &mut [T], v: &mut [T], scratch: &mut [T]) {
        u.iter_mut().enumerate().for_each(|(i, u)| *u = T::of(generic(i)));
        mask(u, self.mask_of(self.columns, sample, self.n_in));
        self.map.forward(u, v, scratch);
        mask(v, self.mask_of(self.rows, sample, self.n_out));
        normalize(v);
    }

    fn mask_of<'m>(&self, mask: Option<&'m [u8]>, sample: usize, n: usize) -> Option<&'m [u8]> {
        mask.and_then(|m| m.get(sample * n..(sample + 1) * n))
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
