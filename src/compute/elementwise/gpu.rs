//! Activations, smaller and larger ([`crate::compute::elementwise::clip`]), forward and backward.

use crate::compute::autograd::differentiable;
use crate::compute::gpu::{Blocks, Source, launch, room};
use candle_core::{DType, Result, Tensor};

const SOURCE: Source = Source::Elementwise;

/// Which of two sides is taken, by the number that the kernels know.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    Clip = 0,
    Smaller = 1,
    Larger = 2,
}

/// `max(x, 0)`.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let n = x.elem_count();
    let y = room(x.shape(), x.dtype(), x.device())?;
    launch(SOURCE, "relu_forward", &x, Blocks::Elements(n), &[(&x).into(), (&y).into(), n.into()])?;
    let kept = x.detach();
    differentiable("relu", y, [&x, &x, &x], move |g, _| {
        let d = room(kept.shape(), kept.dtype(), kept.device())?;
        let args = [(&kept).into(), g.into(), (&d).into(), n.into()];
        launch(SOURCE, "relu_backward", &kept, Blocks::Elements(n), &args)?;
        Ok((Some(d), None, None))
    })
}

/// The side of `x` `[B, ...]` or of `t`, which starts over where it has fewer elements.
pub fn side(name: &'static str, x: &Tensor, t: &Tensor, side: Side) -> Result<Tensor> {
    let (x, t) = (x.contiguous()?, t.contiguous()?);
    let y = side_value(&x, &t, side)?;
    let (xs, ts) = (x.detach(), t.detach());
    differentiable(name, y, [&x, &t, &t], move |g, [to_x, to_t, _]| {
        let (dx, dt) = side_gradients(&xs, &ts, g, (to_x, to_t), side)?;
        Ok((dx, dt, None))
    })
}

/// The value alone, of contiguous arguments.
pub fn side_value(x: &Tensor, t: &Tensor, side: Side) -> Result<Tensor> {
    let (n, period) = (x.elem_count(), t.elem_count());
    let y = room(x.shape(), x.dtype(), x.device())?;
    let args = [x.into(), t.into(), (&y).into(), n.into(), period.into(), (side as usize).into()];
    launch(SOURCE, "side_forward", x, Blocks::Elements(n), &args)?;
    Ok(y)
}

/// The gradients of x and t, where wanted; that of t has its shape, summed over the samples in a fixed order.
pub fn side_gradients(
    x: &Tensor,
    t: &Tensor,
    g: &Tensor,
    (to_x, to_t): (bool, bool),
    side: Side,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let (n, period) = (x.elem_count(), t.elem_count());
    let gradient = |kernel, like: &Tensor, blocks, count: usize| {
        let d = room(like.shape(), x.dtype(), x.device())?;
        let counts = [count, period, side as usize].map(Into::into);
        launch(SOURCE, kernel, x, blocks, &[&[x.into(), t.into(), g.into(), (&d).into()][..], &counts].concat())?;
        Ok::<_, candle_core::Error>(d)
    };
    let dx = to_x.then(|| gradient("side_backward_x", x, Blocks::Elements(n), n)).transpose()?;
    let tiles = Blocks::Exactly(period.div_ceil(32));
    let dt = to_t.then(|| gradient("side_backward_t", t, tiles, n / period.max(1))).transpose()?;
    Ok((dx, dt))
}

/// `1` where `upper > 0` and `lower < t`, or where there is a NaN; u8.
pub fn between(lower: &Tensor, upper: &Tensor, t: &Tensor) -> Result<Tensor> {
    let (lower, upper, t) = (lower.contiguous()?, upper.contiguous()?, t.contiguous()?);
    let mask = room(lower.shape(), DType::U8, lower.device())?;
    let n = lower.elem_count();
    let args = [(&lower).into(), (&upper).into(), (&t).into(), (&mask).into(), n.into(), t.elem_count().into()];
    launch(SOURCE, "between", &lower, Blocks::Elements(n), &args)?;
    Ok(mask)
}
