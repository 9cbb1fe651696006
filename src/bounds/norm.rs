//! The spectral norm of one affine layer, masked per sample, by warm-started power iteration (Algorithm 1, lines 6-10)
//!
//! ```text
//! v <- I_out W I_in u / ||.||      u <- I_in W^T I_out v / ||.||      sigma = ||I_in W^T I_out v|| = v . W u
//! ```
//!
//! and its gradient, the envelope: `d sigma = v . dW u` with u and v constant; the iterations build no graph. Power
//! iteration converges from below: sigma is an estimate, never a proven bound.
//!
//! On the CPU all iterations of a sample run in one core's cache (`power_cpu`); on CUDA all samples go together, each half
//! step a product and one kernel (`power_passes`, or with a tolerance `power_device`); pooling on the CPU goes through tensors
//! (`power_tensor`).

use super::power_passes::Start;
use super::{power_cpu, power_device, power_passes, power_tensor};
use crate::compute::autograd::differentiable;
use crate::compute::conv::conv2d_weight_scaled;
use crate::compute::conv::in_layout;
use crate::compute::gpu;
use crate::compute::layout;
use crate::compute::layout::Layout;
use crate::compute::norms;
use crate::compute::norms::samples::per_sample;
use crate::compute::power::passes::{Norms, envelope as scaled};
use crate::compute::precision::matmul;
use crate::nn::{Layer, Operation};
use candle_core::{DType, Result, Tensor, bail};

/// How long to iterate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerOptions {
    /// At most this many iterations, at least 1.
    pub iterations: usize,
    /// Stop a sample when its `||u' - u||` falls to this; `None` runs every iteration.
    pub tolerance: Option<f64>,
    /// What the iterations compute in.
    pub arithmetic: Arithmetic,
}

/// The numbers of the iterations. Sigma and the last right vector come from the layer's own type in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// The layer's own type.
    #[default]
    Own,
    /// bf16 products summed in f32, for convolutions in f32 where the processor has them ([`bf16_iterations`]); the layer's
    /// own type elsewhere. Weights and vectors are rounded to 8 bits on the way: how far from f32's sigma ends hangs on how
    /// close singular values lie (a bound in `tests/common/bf16.rs`, what was measured in `benches/NOTES.md`).
    Bf16,
}

/// Does [`Arithmetic::Bf16`] make a difference here: does the processor multiply bf16?
pub fn bf16_iterations() -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::compute::simd::form::bf16_available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Singular vectors of a batch, `[B, ...]`, unit or zero, masked; kept as the iteration left them until somebody asks.
#[derive(Clone, Debug)]
pub struct SingularVectors {
    raw: Tensor,
    norms: Option<Norms>,
    layout: Layout,
}

impl SingularVectors {
    /// These vectors, unit or zero.
    pub fn of(unit: Tensor) -> Self {
        Self { raw: unit, norms: None, layout: Layout::Nchw }
    }

    /// From vectors of these norms, with their memory in the order `order`.
    pub(super) fn with_norms(raw: Tensor, norms: Norms, layout: Layout) -> Self {
        Self { raw, norms: Some(norms), layout }
    }

    /// The vectors, each of norm 1 or 0.
    pub fn unit(&self) -> Result<Tensor> {
        match &self.norms {
            Some(norms) => layout::turned(&norms.unit(&self.raw)?, self.layout, Layout::Nchw),
            None => Ok(self.raw.clone()),
        }
    }

    /// The vectors as they are, with their memory in the order `wanted`, and their norms unless these are 1 or 0.
    pub fn unscaled(&self, wanted: Layout) -> Result<(Tensor, Option<&Norms>)> {
        let raw =
            if wanted == self.layout { self.raw.clone() } else { layout::turned(&self.raw, self.layout, wanted)? };
        Ok((raw, self.norms.as_ref()))
    }

    /// The shape of the vectors, `[B, ...]`.
    pub fn dims(&self) -> Vec<usize> {
        match (self.layout, self.raw.dims()) {
            (Layout::Nhwc, &[b, h, w, c]) => vec![b, c, h, w],
            (_, dims) => dims.to_vec(),
        }
    }
}

/// The result of a power iteration over a batch.
#[derive(Clone, Debug)]
pub struct SingularPair {
    /// Spectral norms `[B]`, differentiable in the layer's weight.
    pub sigma: Tensor,
    /// Right singular vectors `[B, input...]`.
    pub u: SingularVectors,
    /// Left singular vectors `[B, output...]`.
    pub v: SingularVectors,
    /// Iterations used by each sample.
    pub iterations: Vec<u32>,
    /// Whether each sample met the tolerance; `false` where none was asked for.
    pub converged: Vec<bool>,
}

/// What the iterations give before the gradient is attached.
pub(super) struct Iterated {
    pub sigma: Tensor,
    pub u: SingularVectors,
    pub v: SingularVectors,
    pub iterations: Vec<u32>,
    pub converged: Vec<bool>,
}

/// Spectral norms of `I_rows W I_columns` for each sample, from the start vectors `u` `[B, input...]`.
///
/// `columns` `[B, input...]` and `rows` `[B, output...]` are u8 masks; `None` masks nothing. A start vector that the
/// masked map sends to zero is replaced by a fixed generic one. One that merely has no part of the largest singular vector
/// finds a smaller norm, like any power iteration: evaluations start from fresh random vectors for that reason.
pub fn spectral_norm(
    layer: &Layer,
    u: &Tensor,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<SingularPair> {
    spectral_norm_from(layer, Start::of(u), columns, rows, options)
}

/// The same from start vectors in any order of their axes, masked already if they say so.
pub fn spectral_norm_from(
    layer: &Layer,
    start: Start,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<SingularPair> {
    let planes = layout::planes(start.u.dims(), start.layout);
    let batch = check(layer, &planes, columns, rows, options)?;
    if let Operation::Normalize { scale, .. } = &layer.operation {
        return diagonal(layer, scale, &start.u, batch);
    }
    let start = Start { u: start.u.detach(), ..start };
    let on_cpu = start.u.device().is_cpu() && layer.weight().is_some();
    let found = if gpu::has_kernel(&start.u) && options.tolerance.is_none() {
        power_passes::iterate(&layer.frozen(), start, columns, rows, options)?
    } else {
        let iterate = if gpu::has_kernel(&start.u) {
            power_device::iterate
        } else if on_cpu {
            power_cpu::iterate
        } else {
            power_tensor::iterate
        };
        let (u, columns, rows) =
            (layout::turned(&start.u, start.layout, Layout::Nchw)?, contiguous(columns)?, contiguous(rows)?);
        iterate(&layer.frozen(), &u, columns.as_ref(), rows.as_ref(), options)?
    };
    let sigma = match layer.weight() {
        None => found.sigma,
        Some(weight) => {
            let (u, v, layer) = (found.u.clone(), found.v.clone(), layer.clone());
            let backward = move |g: &Tensor, _| Ok((Some(envelope(&layer, &u, &v, g)?), None, None));
            differentiable("spectral_norm", found.sigma, [weight; 3], backward)?
        }
    };
    Ok(SingularPair { sigma, u: found.u, v: found.v, iterations: found.iterations, converged: found.converged })
}

/// The gradient of `sum_b g_b v_b . W u_b` in W.
fn envelope(layer: &Layer, u: &SingularVectors, v: &SingularVectors, g: &Tensor) -> Result<Tensor> {
    let layout = v.layout;
    let ((u, of_u), (v, of_v)) = (u.unscaled(layout)?, v.unscaled(layout)?);
    let scaled = of_u.zip(of_v).map(|(of_u, of_v)| scaled(&v, g, of_u, of_v)).transpose()?;
    let precision = layer.precision.get();
    match (&layer.operation, scaled) {
        (Operation::Conv2d { weight, window, .. }, Some(v)) => {
            let (_, _, kh, kw) = weight.dims4()?;
            layout::turned(&in_layout::weight(layout, &u, &v, layer.window(window), (kh, kw))?, layout, Layout::Nchw)
        }
        (Operation::Conv2d { weight, window, .. }, None) => {
            let (_, _, kh, kw) = weight.dims4()?;
            conv2d_weight_scaled(&u, &v, g, layer.window(window), (kh, kw))
        }
        (Operation::Linear { .. }, Some(v)) => matmul(&v.t()?, &u, precision),
        (Operation::Linear { .. }, None) if gpu::has_kernel(&v) => {
            matmul(&norms::gpu::scale_samples(&v, g)?.t()?, &u, precision)
        }
        (Operation::Linear { .. }, None) => matmul(&v.broadcast_mul(&per_sample(g, &v)?)?.t()?, &u, precision),
        // None of these has a weight to differentiate by.
        (
            Operation::AvgPool2d { .. }
            | Operation::Normalize { .. }
            | Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. },
            _,
        ) => bail!("spectral_norm: layer {} ({}) has no weight", layer.index, layer.spec.describe()),
    }
}

/// Division by the standard deviation: the largest entry of the diagonal, exactly; masks could only lower it.
fn diagonal(layer: &Layer, scale: &Tensor, u: &Tensor, batch: usize) -> Result<SingularPair> {
    let largest = scale.max_all()?.reshape(1)?.broadcast_as(batch)?.contiguous()?;
    Ok(SingularPair {
        sigma: largest,
        u: SingularVectors::of(u.detach()),
        v: SingularVectors::of(layer.apply(&u.detach())?),
        iterations: vec![0; batch],
        converged: vec![true; batch],
    })
}

fn check(
    layer: &Layer,
    u: &[usize],
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<usize> {
    let name = || format!("spectral_norm: layer {} ({})", layer.index, layer.spec.describe());
    if !layer.is_affine() {
        bail!("{} is not affine, it has no norm of its own", name());
    }
    if options.iterations == 0 {
        bail!("{}: 0 iterations, at least 1 is needed", name());
    }
    let Some(batch) = u.first().copied() else { bail!("{}: the start vectors are no batch", name()) };
    for (what, got, shape) in [
        ("start vectors", Some(u), &layer.input),
        ("column mask", columns.map(Tensor::dims), &layer.input),
        ("row mask", rows.map(Tensor::dims), &layer.output),
    ] {
        let want = [&[batch], shape.as_slice()].concat();
        if let Some(got) = got.filter(|got| *got != want) {
            bail!("{}: the {what} want shape {want:?}, got {got:?}", name());
        }
    }
    for mask in [columns, rows].into_iter().flatten() {
        if mask.dtype() != DType::U8 {
            bail!("{}: a mask is u8, got {:?}", name(), mask.dtype());
        }
    }
    Ok(batch)
}

fn contiguous(mask: Option<&Tensor>) -> Result<Option<Tensor>> {
    mask.map(Tensor::contiguous).transpose()
}
