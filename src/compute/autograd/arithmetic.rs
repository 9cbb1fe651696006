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
    // What is multiplied by nothing has no gradient: as in candle, nobody walks behind it.
    if !x.track_op() || !x.dtype().is_float() || factor == 0.0 {
        return x.detach().affine(factor, offset);
    }
    let value = x.detach().affine(factor, offset)?;
    differentiable("affine", value, [x; 3], move |g, _| {
        Ok((Some(if factor == 1.0 { g.clone() } else { (g * factor)? }), None, None))
    })
}

/// The same numbers in another shape, copied: nobody else may hold a node's value. Candle's own adds the gradient to zeros.
pub fn reshaped(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let own = x.shape().clone();
    let value = x.detach().reshape(shape)?.force_contiguous()?;
    differentiable("reshape", value, [x; 3], move |g, _| Ok((Some(g.reshape(&own)?), None, None)))
}

#[cfg(test)]
mod tests {
    use super::super::backward;
    use super::*;
    use candle_core::{DType, Device, Var};

    /// A tensor of no samples stays what it is, whatever is computed of it.
    #[test]
    fn of_no_samples_there_is_nothing_to_find() -> Result<()> {
        let none = Var::zeros((0, 3), DType::F64, &Device::Cpu)?;
        let more = scaled(&none, 2.0, 1.0)?;
        let product = mul(&add(&more, &none)?, &sub(&more, &none)?)?;
        assert!([none.as_tensor(), &more, &product].iter().all(|t| t.dtype() == DType::F64 && t.dims() == [0, 3]));
        let x = Var::new(&[1.0, 2.0], &Device::Cpu)?;
        let gradients = backward(&add(&scaled(&x, 0.0, 1.0)?, &x)?)?;
        assert_eq!(gradients.get(&x).map(Tensor::to_vec1::<f64>).transpose()?, Some(vec![1.0, 1.0]));
        assert!(backward(&scaled(&x, 0.0, 1.0)?)?.get(&x).is_none(), "what is multiplied by 0 has no gradient");
        Ok(())
    }
}
