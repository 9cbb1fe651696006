//! The spectral norm of one affine layer, masked per sample, by warm-started power iteration (Algorithm 1, lines 6-10)
//!
//! ```text
//! v <- I_out W I_in u / ||.||      u <- I_in W^T I_out v / ||.||      sigma = ||I_in W^T I_out v|| = v . W u
//! ```
//!
//! and its gradient, the envelope: `d sigma = v . dW u` with u and v constant; the iterations build no graph. Power
//! iteration converges from below: sigma is an estimate, never a proven bound. A start vector that the masked map sends
//! to zero is replaced; no constant is added to a norm, and nothing is divided by one that is 0.
//!
//! On the CPU all iterations of a sample run in one core's cache (`cpu`); on CUDA all samples go together, each half
//! step a product and one kernel (`gpu_passes`, or with a tolerance `gpu`); pooling on the CPU goes through tensors
//! (`tensor`). Each sample stops when it has converged, so that its norm does not depend on who shares its batch.

use super::options::PowerOptions;
use super::vectors::{SingularPair, SingularVectors, Start};
use super::{cpu, gpu as on_gpu, gpu_passes, tensor};
use crate::compute::autograd::differentiable;
use crate::compute::conv::conv2d_weight_scaled;
use crate::compute::conv::in_layout;
use crate::compute::gpu;
use crate::compute::layout;
use crate::compute::layout::Layout;
use crate::compute::norms;
use crate::compute::norms::samples::per_sample;
use crate::compute::power::gpu_passes::envelope as scaled;
use crate::compute::precision::{Precision, matmul};
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{DType, Result, Tensor, bail};

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

/// The same from start vectors in any layout, masked already if they say so.
pub fn spectral_norm_from(
    layer: &Layer,
    start: Start,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<SingularPair> {
    let planes = layout::planes(start.u.dims(), start.layout);
    let batch = check(layer, &planes, columns, rows, options)?;
    // A map for each sample: where samples leave as they converge, each goes by itself.
    if let (Some(_), Some(each)) = (options.tolerance, layer.each_sample()?) {
        return one_by_one(&each, &start, columns, rows, options);
    }
    if let Some(Dense::Diagonal { scale }) = layer.dense() {
        return diagonal(layer, &scale, &start.u, batch);
    }
    let start = Start { u: start.u.detach(), ..start };
    let dense = match layer.dense() {
        dense @ Some(Dense::Convolution { .. } | Dense::Matrix { .. }) => dense,
        // By the layer's own products.
        Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => None,
    };
    let on_cpu = start.u.device().is_cpu() && dense.is_some();
    let found = if gpu::has_kernel(&start.u) && options.tolerance.is_none() {
        gpu_passes::iterate(&layer.frozen(), start, columns, rows, options)?
    } else {
        let iterate = if gpu::has_kernel(&start.u) {
            on_gpu::iterate
        } else if on_cpu {
            cpu::iterate
        } else {
            tensor::iterate
        };
        let (u, columns, rows) =
            (layout::turned(&start.u, start.layout, Layout::Nchw)?, contiguous(columns)?, contiguous(rows)?);
        iterate(&layer.frozen(), &u, columns.as_ref(), rows.as_ref(), options)?
    };
    let map = layer.affine("spectral_norm")?;
    let sigma = match (dense, map.weight()) {
        _ if !map.is_trained() => found.sigma,
        (Some(dense), Some(weight)) => {
            let (u, v, precision) = (found.u.clone(), found.v.clone(), layer.precision.clone());
            let dense = dense.detached();
            let backward = move |g: &Tensor, _| Ok((Some(envelope(&dense, precision.get(), &u, &v, g)?), None, None));
            differentiable("spectral_norm", found.sigma, [weight; 3], backward)?
        }
        // The envelope as candle's graph has it: v . W u, whose value is sigma, with u and v constant.
        _ => {
            let product = (layer.apply(&found.u.unit()?.detach())? * found.v.unit()?.detach())?;
            let product = product.flatten_from(1)?.sum(1)?;
            (&found.sigma.detach() + (&product - product.detach())?)?
        }
    };
    Ok(SingularPair { sigma, u: found.u, v: found.v, iterations: found.iterations, converged: found.converged })
}

/// Each sample by its own map.
fn one_by_one(
    each: &[Layer],
    start: &Start,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<SingularPair> {
    let u = layout::turned(&start.u, start.layout, Layout::Nchw)?;
    let narrowed = |t: Option<&Tensor>, b| t.map(|t| t.narrow(0, b, 1)?.contiguous()).transpose();
    let one = |(b, layer): (usize, &Layer)| {
        let start = Start::of(&u.narrow(0, b, 1)?.contiguous()?);
        spectral_norm_from(layer, start, narrowed(columns, b)?.as_ref(), narrowed(rows, b)?.as_ref(), options)
    };
    // One map of a batch of another size is an error that the product would not name.
    if each.len() != u.dim(0)? {
        bail!("spectral_norm: {} has maps for {} samples, got {} vectors", each[0].title(), each.len(), u.dim(0)?);
    }
    let each = each.iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
    let all =
        |of: fn(&SingularPair) -> Result<Tensor>| Tensor::cat(&each.iter().map(of).collect::<Result<Vec<_>>>()?, 0);
    Ok(SingularPair {
        sigma: all(|pair| Ok(pair.sigma.clone()))?,
        u: SingularVectors::of(all(|pair| pair.u.unit())?),
        v: SingularVectors::of(all(|pair| pair.v.unit())?),
        iterations: each.iter().flat_map(|pair| pair.iterations.clone()).collect(),
        converged: each.iter().flat_map(|pair| pair.converged.clone()).collect(),
    })
}

/// The gradient of `sum_b g_b v_b . W u_b` in W.
fn envelope(map: &Dense, precision: Precision, u: &SingularVectors, v: &SingularVectors, g: &Tensor) -> Result<Tensor> {
    let layout = v.layout;
    let ((u, of_u), (v, of_v)) = (u.unscaled(layout)?, v.unscaled(layout)?);
    let scaled = of_u.zip(of_v).map(|(of_u, of_v)| scaled(&v, g, of_u, of_v)).transpose()?;
    match (map, scaled) {
        (Dense::Convolution { weight, window, .. }, Some(v)) => {
            let (_, _, kh, kw) = weight.dims4()?;
            let window = window.computed_in(precision);
            layout::turned(&in_layout::weight(layout, &u, &v, window, (kh, kw))?, layout, Layout::Nchw)
        }
        (Dense::Convolution { weight, window, .. }, None) => {
            let (_, _, kh, kw) = weight.dims4()?;
            conv2d_weight_scaled(&u, &v, g, window.computed_in(precision), (kh, kw))
        }
        (Dense::Matrix { .. }, Some(v)) => matmul(&v.t()?, &u, precision),
        (Dense::Matrix { .. }, None) if gpu::has_kernel(&v) => {
            matmul(&norms::gpu::scale_samples(&v, g)?.t()?, &u, precision)
        }
        (Dense::Matrix { .. }, None) => matmul(&v.broadcast_mul(&per_sample(g, &v)?)?.t()?, &u, precision),
        (Dense::EachChannel { .. } | Dense::Diagonal { .. }, _) => {
            bail!("spectral_norm: such a map has no weight to differentiate by")
        }
    }
}

/// The largest size of an entry of the diagonal, exactly; masks could only lower it.
fn diagonal(layer: &Layer, scale: &Tensor, u: &Tensor, batch: usize) -> Result<SingularPair> {
    let largest = scale.abs()?.max_all()?.reshape(1)?.broadcast_as(batch)?.contiguous()?;
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
    let name = || format!("spectral_norm: {}", layer.title());
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
