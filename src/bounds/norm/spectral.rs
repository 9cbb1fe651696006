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
//! step a product and one kernel (`fixed_steps`, or with a tolerance `on_device`), one vector through few rows in a single kernel
//! (`few_rows`); pooling on the CPU goes through tensors
//! (`tensor`). Each sample stops when it has converged, so that its norm does not depend on who shares its batch.

use super::options::PowerOptions;
use super::vectors::{SingularPair, SingularVectors, Start, Task, layout_of};
use super::{cpu, few_rows, fixed_steps, on_device, tensor};
use crate::compute::autograd::{Argument, Arrived, Node, value_of};
use crate::compute::conv::conv2d_weight_scaled;
use crate::compute::gpu;
use crate::compute::layout;
use crate::compute::layout::Layout;
use crate::compute::norms;
use crate::compute::norms::samples::per_sample;
use crate::compute::power::gpu_passes::{envelope as scaled, slope_of_halves};
use crate::compute::precision::{Precision, matmul};
use crate::compute::region::weights::{Map, OfWeight, WeightParts};
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{DType, Result, Tensor, bail};
use std::ops::Range;

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
    let first = start.u.dims().first().copied().unwrap_or(0);
    Ok(pairs(&Task { layer, columns, rows, options, first }, start)?.0)
}

/// Masked norms from the first vectors of `start`, as many as the masks have samples, and that of the whole map from the last: as one
/// batch, in which nothing that follows masks it. Power iteration treats vectors alone, so the norms are those of two calls.
pub fn spectral_norms(
    layer: &Layer,
    start: Start,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<(SingularPair, SingularPair)> {
    let all = start.u.dims().first().copied().unwrap_or(0);
    if all == 0 {
        bail!("spectral_norms: {}: the vector of the whole map is missing", layer.title());
    }
    match pairs(&Task { layer, columns, rows, options, first: all - 1 }, start)? {
        (masked, Some(whole)) => Ok((masked, whole)),
        (_, None) => bail!("spectral_norms: {}: the norm of the whole map was not found", layer.title()),
    }
}

/// What the first vectors find, and what the others do.
fn pairs(task: &Task, start: Start) -> Result<(SingularPair, Option<SingularPair>)> {
    let (layer, options, first) = (task.layer, task.options, task.first);
    let planes = layout::planes(start.u.dims(), start.layout);
    let all = check(task, &planes)?;
    // A map for each sample: where samples leave as they converge, each goes by itself.
    if let (Some(_), Some(each)) = (options.tolerance, layer.each_sample()?) {
        return Ok((one_by_one(&each, &start, task)?, None));
    }
    if let Some(Dense::Diagonal { scale }) = layer.dense() {
        let of = |from, count| diagonal(layer, &scale, &start.u.narrow(0, from, count)?, count);
        return Ok((of(0, first)?, (all > first).then(|| of(first, all - first)).transpose()?));
    }
    let start = Start { u: start.u.detach(), ..start };
    // Halves only where the iteration takes them.
    let halves = task.in_halves();
    let start = match layer.numbers() {
        Some((dtype, _)) if start.u.dtype() == DType::F16 && !halves => Start { u: start.u.to_dtype(dtype)?, ..start },
        _ => start,
    };
    let by_kernels = halves || gpu::has_kernel(&start.u);
    let dense = match layer.dense() {
        dense @ Some(Dense::Convolution { .. } | Dense::Matrix { .. }) => dense,
        // By the layer's own products.
        Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => None,
    };
    let on_cpu = start.u.device().is_cpu() && dense.is_some();
    let frozen = layer.frozen();
    let frozen = Task { layer: &frozen, ..*task };
    let few = few_rows::matrix(task, &start.u).filter(|weight| all == 1 && gpu::has_kernel(weight));
    let mut weight = None;
    let found = if let Some(weight) = few {
        few_rows::iterate(task, &weight, &start.u.to_dtype(weight.dtype())?)?
    } else if by_kernels && options.tolerance.is_none() {
        weight = weight_of(layer)?;
        fixed_steps::iterate(&frozen, weight.as_ref(), start)?
    } else {
        let iterate = if by_kernels {
            on_device::iterate
        } else if on_cpu {
            cpu::iterate
        } else {
            tensor::iterate
        };
        iterate(&frozen, &layout::turned(&start.u, start.layout, Layout::Nchw)?)?
    };
    let map = layer.affine("spectral_norm")?;
    let (u, v, precision) = (found.u.clone(), found.v.clone(), layer.precision.clone());
    let [sigma, others] = match (dense, map.weight()) {
        _ if !map.is_trained() => found.sigma,
        (Some(dense), Some(own)) => {
            // In the layout of the products where the weight takes it so.
            let sink = weight
                .as_ref()
                .filter(|_| v.layout == u.layout && u.has_norms())
                .map(|(_, w)| w.of(OfWeight::Envelope));
            let layout = if sink.is_some() { v.layout } else { Layout::Nchw };
            let dense = dense.detached();
            let node = Node::argument(
                "spectral_norm",
                vec![sink.unwrap_or_else(|| Argument::of(own))],
                move |arrived: Arrived, _| {
                    let parts = arrived.split([0..first, first..all])?;
                    envelope(&dense, precision.get(), [&u, &v], parts, first, layout).map(|d| vec![Some(d)])
                },
            );
            let [sigma, others] = found.sigma;
            let of = |rows: Range<usize>, values| match rows.is_empty() {
                true => Ok(values),
                false => value_of(&node.rows(rows), values),
            };
            [of(0..first, sigma)?, of(first..all, others)?]
        }
        // The envelope as candle's graph has it: v . W u, whose value is sigma, with u and v constant.
        _ => {
            let product = (layer.apply(&u.unit()?.detach())? * v.unit()?.detach())?;
            let product = product.flatten_from(1)?.sum(1)?;
            let [sigma, others] = found.sigma;
            let of = |from, count, sigma: Tensor| match count {
                0 => Ok(sigma),
                _ => {
                    let own = product.narrow(0, from, count)?;
                    &sigma.detach() + (&own - own.detach())?
                }
            };
            [of(0, first, sigma)?, of(first, all - first, others)?]
        }
    };
    let part = |from: usize, count: usize, sigma: Tensor| {
        Ok::<_, candle_core::Error>(SingularPair {
            sigma,
            u: found.u.rows(from, count)?,
            v: found.v.rows(from, count)?,
            iterations: found.iterations[from..from + count].to_vec(),
            converged: found.converged[from..from + count].to_vec(),
        })
    };
    Ok((part(0, first, sigma)?, (all > first).then(|| part(first, all - first, others)).transpose()?))
}

/// What was made of the layer's weight for products on a device with kernels.
fn weight_of(layer: &Layer) -> Result<Option<(Map, WeightParts)>> {
    match layer.dense() {
        Some(Dense::Convolution { weight, window, prepared, .. }) if gpu::has_kernel(&weight) => {
            let layout = layout_of(layer);
            Ok(Some((Map::Conv(window, layout), prepared.parts(&weight, layout)?)))
        }
        Some(Dense::Matrix { weight, prepared, .. }) if gpu::has_kernel(&weight) => {
            Ok(Some((Map::Linear(layer.precision.get()), prepared.parts(&weight, Layout::Nchw)?)))
        }
        // By the layer's own products; what has no norm was refused before.
        Some(Dense::Convolution { .. } | Dense::Matrix { .. } | Dense::EachChannel { .. } | Dense::Diagonal { .. })
        | None => Ok(None),
    }
}

/// Each sample by its own map.
fn one_by_one(each: &[Layer], start: &Start, task: &Task) -> Result<SingularPair> {
    let u = layout::turned(&start.u, start.layout, Layout::Nchw)?;
    let narrowed = |t: Option<&Tensor>, b| t.map(|t| t.narrow(0, b, 1)?.contiguous()).transpose();
    let one = |(b, layer): (usize, &Layer)| {
        let start = Start::of(&u.narrow(0, b, 1)?.contiguous()?);
        let (columns, rows) = (narrowed(task.columns, b)?, narrowed(task.rows, b)?);
        spectral_norm_from(layer, start, columns.as_ref(), rows.as_ref(), task.options)
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

/// The gradient of `sum_b g_b v_b . W u_b` in W, in this layout; `g` for the first vectors and for the others, none where it is 0.
fn envelope(
    map: &Dense,
    precision: Precision,
    [u, v]: [&SingularVectors; 2],
    g: [Option<Tensor>; 2],
    first: usize,
    wanted: Layout,
) -> Result<Tensor> {
    let all = v.dims().first().copied().unwrap_or(0);
    let (from, count) = match &g {
        [Some(_), Some(_)] => (0, all),
        [Some(_), None] => (0, first),
        [None, Some(_)] => (first, all - first),
        [None, None] => bail!("spectral_norm: no gradient has arrived"),
    };
    let (u, v, first) = (u.rows(from, count)?, v.rows(from, count)?, first - from.min(first));
    let layout = v.layout;
    let ((u, of_u), (v, of_v)) = (u.unscaled(layout)?, v.unscaled(layout)?);
    let [g, last] = g.map(|g| g.map(|g| g.contiguous()).transpose());
    let (g, last) = (g?, last?);
    // As the iteration's kernels have left them, halves or not.
    if let (Some(of_u), Some(of_v)) = (of_u, of_v) {
        let (map, weight) = match map {
            Dense::Convolution { weight, window, .. } => (Map::Conv(window.computed_in(precision), layout), weight),
            Dense::Matrix { weight, .. } => (Map::Linear(precision), weight),
            Dense::EachChannel { .. } | Dense::Diagonal { .. } => {
                bail!("spectral_norm: such a map has no weight to differentiate by")
            }
        };
        let slopes = [g.as_ref(), last.as_ref()];
        let d = map.weight(&u, &scaled(&v, slopes, first, of_u, of_v)?, weight.dims())?;
        let d = if d.dtype() == DType::F16 { slope_of_halves(&d, slopes, first, count)? } else { d };
        return layout::turned(&d, layout, wanted);
    }
    let g = || match (&g, &last) {
        (Some(g), Some(last)) => Tensor::cat(&[g, last], 0),
        (Some(one), None) | (None, Some(one)) => Ok(one.clone()),
        (None, None) => bail!("spectral_norm: no gradient has arrived"),
    };
    match map {
        Dense::Convolution { weight, window, .. } => {
            let (_, _, kh, kw) = weight.dims4()?;
            conv2d_weight_scaled(&u, &v, &g()?, window.computed_in(precision), (kh, kw))
        }
        Dense::Matrix { .. } if gpu::has_kernel(&v) => {
            matmul(&norms::gpu::scale_samples(&v, &g()?)?.t()?, &u, precision)
        }
        Dense::Matrix { .. } => {
            let g = g()?;
            matmul(&v.broadcast_mul(&per_sample(&g, &v)?)?.t()?, &u, precision)
        }
        Dense::EachChannel { .. } | Dense::Diagonal { .. } => {
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

fn check(task: &Task, u: &[usize]) -> Result<usize> {
    let layer = task.layer;
    let name = || format!("spectral_norm: {}", layer.title());
    if !layer.is_affine() {
        bail!("{} is not affine, it has no norm of its own", name());
    }
    if task.options.iterations == 0 {
        bail!("{}: 0 iterations, at least 1 is needed", name());
    }
    let Some(batch) = u.first().copied() else { bail!("{}: the start vectors are no batch", name()) };
    for (what, got, count, shape) in [
        ("start vectors", Some(u), batch, &layer.input),
        ("column mask", task.columns.map(Tensor::dims), task.first, &layer.input),
        ("row mask", task.rows.map(Tensor::dims), task.first, &layer.output),
    ] {
        let want = [&[count], shape.as_slice()].concat();
        if let Some(got) = got.filter(|got| *got != want) {
            bail!("{}: the {what} want shape {want:?}, got {got:?}", name());
        }
    }
    for mask in [task.columns, task.rows].into_iter().flatten() {
        if mask.dtype() != DType::U8 {
            bail!("{}: a mask is u8, got {:?}", name(), mask.dtype());
        }
    }
    Ok(batch)
}
