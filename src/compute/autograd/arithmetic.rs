//! Sums, differences and products of tensors of one shape, and with numbers, without candle's zeros and additions on the way back.

use super::operation::differentiable;
use candle_core::{Result, Tensor};

/// Are these two plain enough, and is there a gradient to find?
fn ours(a: &Tensor, b: &Tensor) -> bool {
    a.shape() == b.shape() && a.dtype() == b.dtype() && a.dtype().is_float() && (a.track_op() || b.track_op())
}

/// `a + b`, shapes broadcast.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !ours(a, b) {
        return a.broadcast_add(b);
    }
    let value = (a.detach() + b.detach())?;
    differentiable("add", value, [a, b, b], |g, [to_a, to_b, _]| {
        Ok((to_a.then(|| g.clone()), to_b.then(|| g.clone()), None))
    })
}

/// `a - b`, shapes broadcast.
pub fn sub(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !ours(a, b) {
        return a.broadcast_sub(b);
    }
    let value = (a.detach() - b.detach())?;
    differentiable("sub", value, [a, b, b], |g, [to_a, to_b, _]| {
        Ok((to_a.then(|| g.clone()), to_b.then(|| g.neg()).transpose()?, None))
    })
}

/// `a b`, shapes broadcast.
pub fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !ours(a, b) {
        return a.broadcast_mul(b);
    }
    let (x, y) = (a.detach(), b.detach());
    let value = (&x * &y)?;
    differentiable("mul", value, [a, b, b], move |g, [to_a, to_b, _]| {
        let by = |wanted: bool, other: &Tensor| wanted.then(|| g * other).transpose();
        // Of a square both parts are the one argument's.
        let of_b = by(to_b, &x)?;
        Ok((by(to_a, &y)?, of_b, None))
    })
}

/// `factor x + offset`.
pub fn scaled(x: &Tensor, factor: f64, offset: f64) -> Result<Tensor> {
    if !x.track_op() || !x.dtype().is_float() {
        return x.affine(factor, offset);
    }
    let value = x.detach().affine(factor, offset)?;
    differentiable("affine", value, [x; 3], move |g, _| {
        Ok((Some(if factor == 1.0 { g.clone() } else { (g * factor)? }), None, None))
    })
}
