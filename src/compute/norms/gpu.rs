//! Channels, rows and samples: what is added to each, the sums and norms of each.

use crate::compute::autograd::differentiable;
use crate::compute::gpu::{Arg, Blocks, Source, by_rows, launch, room};
use candle_core::{D, DType, Result, Tensor};

const SOURCE: Source = Source::Elementwise;

/// `x` `[B, C, ...]` plus `v` `[1, C]` or `[B, C]`.
pub fn add_channels(x: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (x, v) = (x.contiguous()?, v.contiguous()?);
    let (n, positions) = (x.elem_count(), x.dims()[2..].iter().product::<usize>());
    let y = room(x.shape(), x.dtype(), x.device())?;
    let args = [(&x).into(), (&v).into(), (&y).into(), n.into(), positions.into(), v.elem_count().into()];
    launch(SOURCE, "add_channels", &x, Blocks::Elements(n), &args)?;
    let for_all = v.dim(0)? == 1;
    differentiable("add_channels", y, [&x, &v, &v], move |g, [_, to_v, _]| {
        let dv = to_v.then(|| {
            let sums = channel_sums(g)?;
            if for_all { column_sums(&sums)?.unsqueeze(0) } else { Ok(sums) }
        });
        Ok((Some(g.clone()), dv.transpose()?, None))
    })
}

/// Sums over positions: `[B, C, ...]` to `[B, C]`, no gradient.
pub fn channel_sums(x: &Tensor) -> Result<Tensor> {
    let x = x.detach().contiguous()?;
    let (rows, n) = (x.dims()[0] * x.dims()[1], x.dims()[2..].iter().product::<usize>());
    let sums = room((x.dims()[0], x.dims()[1]), x.dtype(), x.device())?;
    let args = [(&x).into(), (&sums).into(), rows.into(), n.into()];
    by_rows(SOURCE, ["sums_of_short_rows", "sums_of_rows"], &x, (rows, n), &args)?;
    Ok(sums)
}

/// `x` `[..., C]` plus `v` `[C]`, no gradient.
pub fn add_to_columns(x: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (x, v) = (x.detach().contiguous()?, v.detach().contiguous()?);
    let (n, y) = (x.elem_count(), room(x.shape(), x.dtype(), x.device())?);
    let args = [(&x).into(), (&v).into(), (&y).into(), n.into(), 1.into(), v.elem_count().into()];
    launch(SOURCE, "add_channels", &x, Blocks::Elements(n), &args)?;
    Ok(y)
}

/// Sums over all axes but the last: `[..., C]` to `[C]`, in a fixed order, no gradient.
pub fn column_sums(x: &Tensor) -> Result<Tensor> {
    /// Rows that a block adds up, and most blocks for 32 columns.
    const SHARE: usize = 256;
    const GROUPS: usize = 256;
    let x = x.detach().contiguous()?;
    let n = x.dim(D::Minus1)?;
    let rows = x.elem_count() / n.max(1);
    let share = SHARE.max(rows.div_ceil(GROUPS));
    let (groups, tiles) = (rows.div_ceil(share), n.div_ceil(32));
    let parts = room((groups, n), DType::F64, x.device())?;
    let sums = room(n, x.dtype(), x.device())?;
    let counts = [rows, n, share].map(Arg::Count);
    launch(
        SOURCE,
        "column_parts",
        &x,
        Blocks::Exactly(groups * tiles),
        &[&[(&x).into(), (&parts).into()][..], &counts].concat(),
    )?;
    let args = [(&parts).into(), (&sums).into(), groups.into(), n.into()];
    launch(SOURCE, "column_sums", &x, Blocks::Elements(n), &args)?;
    Ok(sums)
}

/// The norms of the rows of `w` `[O, I]`, `[O]`.
pub fn row_norms(w: &Tensor) -> Result<Tensor> {
    let w = w.contiguous()?;
    let (rows, n) = w.dims2()?;
    let norms = room(rows, w.dtype(), w.device())?;
    launch(SOURCE, "row_norms_forward", &w, Blocks::Exactly(rows), &[(&w).into(), (&norms).into(), n.into()])?;
    let (ws, ns) = (w.detach(), norms.copy()?);
    differentiable("row_norms", norms, [&w, &w, &w], move |g, _| {
        let d = room(ws.shape(), ws.dtype(), ws.device())?;
        let count = rows * n;
        let args = [(&ws).into(), (&ns).into(), g.into(), (&d).into(), count.into(), n.into()];
        launch(SOURCE, "row_norms_backward", &ws, Blocks::Elements(count), &args)?;
        Ok((Some(d), None, None))
    })
}

/// Each sample of `x` `[B, ...]` times its number of `s` `[B]`, no gradient.
pub fn scale_samples(x: &Tensor, s: &Tensor) -> Result<Tensor> {
    let (x, s) = (x.detach().contiguous()?, s.detach().contiguous()?);
    let (count, y) = (x.elem_count(), room(x.shape(), x.dtype(), x.device())?);
    let args = [(&x).into(), (&s).into(), (&y).into(), count.into(), (count / s.elem_count().max(1)).into()];
    launch(SOURCE, "scale_samples", &x, Blocks::Elements(count), &args)?;
    Ok(y)
}

/// The norms `[B]` of the samples of `x` `[B, ...]`, f64, no gradient.
pub fn sample_norms(x: &Tensor) -> Result<Tensor> {
    let x = x.detach().contiguous()?;
    let (batch, norms) = (x.dim(0)?, room(x.dim(0)?, DType::F64, x.device())?);
    let args = [(&x).into(), (&norms).into(), (x.elem_count() / batch.max(1)).into()];
    launch(Source::Power, "sample_norms", &x, Blocks::Exactly(batch), &args)?;
    Ok(norms)
}

/// Each sample divided by its norm, and the norms; no gradient.
pub fn normalize_samples(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let x = x.detach().contiguous()?;
    let (batch, norms) = (x.dim(0)?, room(x.dim(0)?, DType::F64, x.device())?);
    let y = room(x.shape(), x.dtype(), x.device())?;
    let args = [(&x).into(), (&y).into(), (&norms).into(), (x.elem_count() / batch.max(1)).into()];
    launch(Source::Power, "normalize_samples", &x, Blocks::Exactly(batch), &args)?;
    Ok((y, norms))
}
