//! `x W^T` on any device, with gradients `g W` and `g^T x`.

use crate::compute::autograd::differentiable;
use crate::compute::precision::{Precision, matmul};
use candle_core::{Result, Tensor};

/// `x` `[B, I]` times the transpose of `w` `[O, I]`.
pub fn product(x: &Tensor, w: &Tensor, precision: Precision) -> Result<Tensor> {
    if x.rank() != 2 {
        return matmul(x, &w.t()?, precision);
    }
    let (xs, ws) = (x.detach(), w.detach());
    let y = matmul(&xs, &ws.t()?, precision)?;
    differentiable("linear", y, [x, w, w], move |g, [to_x, to_w, _]| {
        let dx = to_x.then(|| matmul(g, &ws, precision)).transpose()?;
        Ok((dx, to_w.then(|| matmul(&g.t()?, &xs, precision)).transpose()?, None))
    })
}
