//! Ball and box through a convolution or a linear layer ([`super::super::interval_linear`] has the formula): both centres
//! through W in one product, the half-widths through |W| in another, and one kernel before and behind, each way.

use crate::compute::conv::{Window, conv2d, conv2d_input, conv2d_weight};
use crate::compute::kernels::{Blocks, Source, by_rows, launch, room};
use crate::compute::tape::Tracked;
use candle_core::{Result, Tensor, bail};

const SOURCE: Source = Source::Region;

/// The linear map of a layer, by its weight.
#[derive(Clone, Copy, Debug)]
pub enum Map {
    /// `[O, I]`.
    Linear,
    /// `[O, I, KH, KW]`.
    Conv(Window),
}

impl Map {
    fn apply(self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear => x.matmul(&w.t()?),
            Self::Conv(window) => conv2d(x, w, window),
        }
    }

    /// `size` is the shape of a sample before the layer.
    fn adjoint(self, y: &Tensor, w: &Tensor, size: &[usize]) -> Result<Tensor> {
        match self {
            Self::Linear => y.matmul(w),
            Self::Conv(window) => conv2d_input(y, w, window, (size[1], size[2])),
        }
    }

    /// The gradient of w for `y . W x`.
    fn weight(self, x: &Tensor, y: &Tensor, w: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear => y.t()?.matmul(x),
            Self::Conv(window) => conv2d_weight(x, y, window, (w.dim(2)?, w.dim(3)?)),
        }
    }
}

/// The first two of three parts `[3, B, ...]` as one batch `[2 B, ...]`, and the last `[B, ...]`.
fn parts(all: &Tensor) -> Result<(Tensor, Tensor)> {
    Ok((all.narrow(0, 0, 2)?.flatten(0, 1)?, all.get(2)?))
}

fn like(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    room(shape, x.dtype(), x.device())
}

/// center, middle and half-width of `x` `[3, B, ...]`.
fn middles(x: &Tensor) -> Result<Tensor> {
    let (y, n) = (like(x, x.dims())?, x.elem_count() / 3);
    launch(SOURCE, "region_middles", x, Blocks::Elements(n), &[x.into(), (&y).into(), n.into()])?;
    Ok(y)
}

/// `|w|`, without a gradient.
fn absolute(w: &Tensor) -> Result<Tensor> {
    let (y, n) = (like(w, w.dims())?, w.elem_count());
    launch(Source::Elementwise, "absolute", w, Blocks::Elements(n), &[w.into(), (&y).into(), n.into()])?;
    Ok(y)
}

/// The region `x` `[3, B, input...]` through the layer of weight `w`; `offsets` `[B + 1, O]` are the reach of the ball for
/// each sample, then the bias.
pub fn affine(x: &Tracked, w: &Tensor, offsets: &Tensor, map: Map) -> Result<Tracked> {
    let (xs, ws, os) = (x.value().contiguous()?, w.detach().contiguous()?, offsets.detach().contiguous()?);
    let (batch, channels) = (xs.dim(1)?, ws.dim(0)?);
    if os.dims() != [batch + 1, channels] {
        bail!("affine: offsets of shape {:?}, wanted {:?}", os.dims(), [batch + 1, channels]);
    }
    let (both, half) = parts(&middles(&xs)?)?;
    let (both, half) = (map.apply(&both, &ws)?.contiguous()?, map.apply(&half, &absolute(&ws)?)?.contiguous()?);
    let (n, rows) = (half.elem_count(), batch * channels);
    let positions = n / rows.max(1);
    let y = like(&xs, &[&[3], half.dims()].concat())?;
    let counts = [n, rows, channels, positions].map(Into::into);
    let args = [&[(&both).into(), (&half).into(), (&os).into(), (&y).into()][..], &counts].concat();
    launch(SOURCE, "region_finish", &xs, Blocks::Elements(n), &args)?;
    let ys = y.clone();
    x.then("affine", y, w, offsets, move |gradient, wanted| {
        let g = gradient.tensor.contiguous()?;
        let (split, sums) = (like(&g, g.dims())?, like(&g, &[2, batch, channels])?);
        let tensors = [(&ys).into(), (&g).into(), (&os).into(), (&split).into(), (&sums).into()];
        let args = [&tensors[..], &[n, rows, positions].map(Into::into)].concat();
        by_rows(SOURCE, ["region_split_short", "region_split"], &g, (rows, positions), &args)?;
        let of_offsets = Tensor::cat(&[&sums.get(0)?, &sums.get(1)?.sum_keepdim(0)?], 0)?;
        let (g_both, g_half) = parts(&split)?;
        let (both, half) = parts(&middles(&xs)?)?;
        let (dw, signed) =
            (map.weight(&both, &g_both, &ws)?.contiguous()?, map.weight(&half, &g_half, &ws)?.contiguous()?);
        let (of_w, count) = (like(&ws, ws.dims())?, ws.elem_count());
        let args = [(&dw).into(), (&signed).into(), (&ws).into(), (&of_w).into(), count.into()];
        launch(Source::Elementwise, "add_signed", &ws, Blocks::Elements(count), &args)?;
        let of_x = wanted.then(|| {
            let size = &xs.dims()[2..];
            let both = map.adjoint(&g_both, &ws, size)?.contiguous()?;
            let half = map.adjoint(&g_half, &absolute(&ws)?, size)?.contiguous()?;
            let (d, n) = (like(&xs, xs.dims())?, xs.elem_count() / 3);
            let args = [(&both).into(), (&half).into(), (&d).into(), n.into()];
            launch(SOURCE, "region_join", &xs, Blocks::Elements(n), &args)?;
            Ok::<_, candle_core::Error>(d)
        });
        Ok((of_x.transpose()?, Some(of_w), Some(of_offsets)))
    })
}
