//! The largest singular value of a small matrix, converged, with its gradient `u v^T`
//!
//! ```text
//! G = W^T W,  then  G <- G^2 / ||G||  again and again: a column of it is v up to (sigma_2 / sigma_1)^(2^k)
//! ```
//!
//! The value is `||W v||`: below the norm, by the square of what v is off by. Deterministic: it starts from no random vector.

use candle_core::{D, DType, Result, Tensor};

/// The Gram matrix of `[F, O, I]` on the smaller side.
fn gram(m: &Tensor) -> Result<Tensor> {
    let (_, rows, columns) = m.dims3()?;
    let turned = m.transpose(1, 2)?.contiguous()?;
    if rows < columns { m.matmul(&turned) } else { turned.matmul(m) }
}

/// `G^(2^squarings)` of `[F, n, n]`, scaled, and the logarithm of `||G^(2^j)||_inf^(1 / 2^j)`, `[F]`.
fn squared(mut gram: Tensor, squarings: usize) -> Result<[Tensor; 2]> {
    let all = gram.dim(0)?;
    let mut bound = Tensor::zeros(all, gram.dtype(), gram.device())?;
    for power in 0..=squarings {
        // In logarithms: powers leave the range.
        let size = (gram.abs()?.sum(2)?.max(1)? + f64::from(f32::MIN_POSITIVE))?;
        bound = (bound + (size.log()? / 2f64.powi(power as i32))?)?;
        if power < squarings {
            let scaled = gram.broadcast_div(&size.reshape((all, 1, 1))?)?;
            gram = scaled.matmul(&scaled)?;
        }
    }
    Ok([gram, bound])
}

/// `u^T W v`, whose gradient is u v^T, v (or u, on the smaller side) a column of a power of the Gram matrix.
fn top(w: &Tensor, power: &Tensor) -> Result<Tensor> {
    let (o, i) = w.dims2()?;
    let own = w.detach().contiguous()?;
    let power = power.squeeze(0)?;
    // The column with the largest diagonal entry is not next to orthogonal to v.
    let eye = Tensor::eye(power.dim(0)?, power.dtype(), power.device())?;
    let at = (&power * &eye)?.sum(D::Minus1)?.argmax(0)?;
    let column = power.index_select(&at.reshape(1)?, 0)?;
    let unit = |v: Tensor| v.broadcast_div(&(v.sqr()?.sum_all()?.sqrt()? + f64::from(f32::MIN_POSITIVE))?);
    let side = unit(column)?;
    let (u, v) = if o < i {
        let v = unit(side.matmul(&own)?)?;
        (side, v)
    } else {
        let u = unit(side.matmul(&own.t()?.contiguous()?)?)?;
        (u, side)
    };
    u.matmul(w)?.mul(&v)?.sum_all()
}

/// The largest bound of those whose logarithms these are, with what rounding can have taken from it.
fn above(bound: &Tensor, m: &Tensor) -> Result<Tensor> {
    let sizes: usize = m.dims()[1..].iter().product();
    let unit = if m.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    (bound.max_all()? * 0.5)?.exp()? * (1.0 + 4.0 * sizes as f64 * unit + 64.0 * unit)
}

/// Of `[O, I]`, a tensor of one number. With 25 `squarings` vectors apart by one part in a million are told from each other.
pub fn largest_singular_value(w: &Tensor, squarings: usize) -> Result<Tensor> {
    let [power, _] = squared(gram(&w.detach().contiguous()?.unsqueeze(0)?)?, squarings)?;
    top(w, &power)
}

/// At least the norm of a matrix `[O, I]`, or the largest of those of `[F, O, I]`, of the number type that they have, as a tensor of one number;
/// no gradient: `||G^(2^j)||_inf^(1 / 2^j)` bounds the square of the norm, G the Gram matrix on the smaller side, and lies above it by
/// n^(1 / 2^(j + 1)) at the most.
///
/// The Gram matrix is off by at most rows columns u of the square of the norm, a squaring by n^2 u, which the root takes 2^-j of: all of them,
/// and the logarithms' sum, together by less than 4 rows columns u + 64 u.
pub fn norm_above(m: &Tensor, squarings: usize) -> Result<Tensor> {
    let m = m.detach().contiguous()?;
    let m = if m.rank() == 2 { m.unsqueeze(0)? } else { m };
    let [_, bound] = squared(gram(&m)?, squarings)?;
    above(&bound, &m)
}

/// [`largest_singular_value`] and [`norm_above`] by the same squarings, no gradient.
pub fn below_and_above(w: &Tensor, squarings: usize) -> Result<[Tensor; 2]> {
    let w = w.detach().contiguous()?;
    let m = w.unsqueeze(0)?;
    let [power, bound] = squared(gram(&m)?, squarings)?;
    Ok([top(&w, &power)?, above(&bound, &m)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;
    use candle_core::Device;

    #[test]
    fn the_norm_from_below_and_from_above() {
        for (o, i) in [(1, 1), (3, 7), (20, 20), (9, 2)] {
            let m = Generator::new(5).normal(0.0, 1.0, (o, i), DType::F64, &Device::Cpu).unwrap();
            let number = |t: Tensor| t.to_scalar::<f64>().unwrap();
            let (below, above) = (number(largest_singular_value(&m, 25).unwrap()), number(norm_above(&m, 20).unwrap()));
            assert!(below <= above && above <= below * (1.0 + 1e-5), "{o}x{i}: {below} {above}");
            // Of a rotation times 2 all singular values are 2.
            let (c, s) = (0.6, 0.8);
            let turn = Tensor::new(&[[2.0 * c, -2.0 * s], [2.0 * s, 2.0 * c]], &Device::Cpu).unwrap();
            assert!((number(largest_singular_value(&turn, 25).unwrap()) - 2.0).abs() < 1e-14);
        }
    }
}
