//! The layout of an activation: in which order its numbers lie in memory
//!
//! ```text
//! Nchw   [B, C, H, W]   a channel's plane by plane: what every operation and every script sees
//! Nhwc   [B, H, W, C]   the channels of a pixel side by side: what tensor cores want of convolutions
//! ```
//!
//! Between two convolutions on a GPU under TF32 or bf16 activations, masks and vectors of power iterations stay in the
//! second layout, since cuDNN would else convert every tensor for its tensor cores; whoever asks for them gets the
//! first. f32 stays in the first, which is faster there. A weight `[O, I, KH, KW]` in the second layout is `[O, KH, KW,
//! I]`.

use super::autograd::differentiable;
use super::gpu;
use super::gpu::{Arg, Blocks, Source, launch, room};
use super::precision::{Chosen, LayoutChoice, Precision};
use candle_core::{DType, Device, Result, Tensor, bail};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    #[default]
    Nchw,
    Nhwc,
}

/// The layout that convolutions of this number type, in what was chosen for their network, want on this device.
pub fn wanted(dtype: DType, device: &Device, chosen: &Chosen) -> Layout {
    if dtype != DType::F32 || !gpu::on(device) {
        return Layout::Nchw;
    }
    match (chosen.layout(), chosen.get()) {
        (LayoutChoice::Nchw, _) | (LayoutChoice::Auto, Precision::F32) => Layout::Nchw,
        (LayoutChoice::Nhwc, _) | (LayoutChoice::Auto, Precision::Tf32 | Precision::Bf16) => Layout::Nhwc,
    }
}

/// `[..., C, H, W]` in this layout.
pub fn shape(planes: &[usize], layout: Layout) -> Vec<usize> {
    match (planes, layout) {
        ([rest @ .., c, h, w], Layout::Nhwc) => [rest, &[*h, *w, *c]].concat(),
        _ => planes.to_vec(),
    }
}

/// The other way: what is of this shape in this layout, seen plane by plane.
pub fn planes(shape: &[usize], layout: Layout) -> Vec<usize> {
    match (shape, layout) {
        ([rest @ .., h, w, c], Layout::Nhwc) => [rest, &[*c, *h, *w]].concat(),
        _ => shape.to_vec(),
    }
}

/// `x`, whose memory is in the layout `from`, with its memory in the layout `to`: `[..., C, H, W]` or `[..., H, W, C]`,
/// contiguous. f16, f32, f64 or u8, where [`gpu::on`] its device. No gradient.
pub fn turned(x: &Tensor, from: Layout, to: Layout) -> Result<Tensor> {
    if from == to {
        return x.contiguous();
    }
    let x = x.contiguous()?;
    let [rest @ .., p, q, r] = x.dims() else { bail!("turned: {:?} has no channels, rows and columns", x.dims()) };
    let ([rest, p, q, r], (a, b)) = match from {
        Layout::Nchw => ([rest, &[*q], &[*r], &[*p]], (*p, q * r)),
        Layout::Nhwc => ([rest, &[*r], &[*p], &[*q]], (p * q, *r)),
    };
    let y = room([rest, p, q, r].concat(), x.dtype(), x.device())?;
    let kernel = match x.dtype() {
        DType::U8 => "turn_bytes",
        DType::F16 => "turn_halves",
        DType::F32 | DType::F64 => "turn_numbers",
        other => bail!("turned: {other:?} is no type of what is turned"),
    };
    let rows = x.elem_count() / (a * b).max(1);
    let args = [&[(&x).into(), (&y).into()][..], &[a, b].map(Arg::Count)].concat();
    launch(Source::Order, kernel, &x, Blocks::Exactly(rows * a.div_ceil(32) * b.div_ceil(32)), &args)?;
    Ok(y)
}

/// [`turned`] with its gradient. f32 or f64.
pub fn ordered(x: &Tensor, from: Layout, to: Layout) -> Result<Tensor> {
    if from == to {
        return x.contiguous();
    }
    differentiable("order", turned(&x.detach(), from, to)?, [x; 3], move |g, _| {
        Ok((Some(turned(g, to, from)?), None, None))
    })
}

/// A tensor in memory of the layout `layout` as one that is seen plane by plane, without a copy.
pub fn seen(x: &Tensor, layout: Layout) -> Result<Tensor> {
    match (layout, x.rank()) {
        (Layout::Nchw, _) => Ok(x.clone()),
        (Layout::Nhwc, rank @ 3..) => {
            let axes: Vec<usize> = (0..rank - 3).chain([rank - 1, rank - 3, rank - 2]).collect();
            x.permute(axes)
        }
        _ => bail!("seen: {:?} has no channels, rows and columns", x.dims()),
    }
}

/// The memory of `x`, which is seen plane by plane, in the layout `wanted`: without a copy where it lies so.
pub fn memory(x: &Tensor, wanted: Layout) -> Result<Tensor> {
    if wanted == Layout::Nchw {
        return x.contiguous();
    }
    let rank = x.rank();
    let axes: Vec<usize> = (0..rank - 3).chain([rank - 2, rank - 1, rank - 3]).collect();
    let last = x.permute(axes)?;
    if last.is_contiguous() { Ok(last) } else { turned(x, Layout::Nchw, Layout::Nhwc) }
}
