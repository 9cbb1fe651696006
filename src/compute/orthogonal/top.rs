//! The largest singular value of a small matrix, converged, with its gradient `u v^T`
//!
//! ```text
//! G = W^T W,  then  G <- G^2 / ||G||  again and again: a column of it is v up to (sigma_2 / sigma_1)^(2^k)
//! ```
//!
//! The value is `||W v||`: below the norm, by the square of what v is off by. Deterministic: it starts from no random vector.

use candle_core::{D, DType, Result, Tensor};

/// Of `[O, I]`, a tensor of one number. With 25 `squarings` vectors apart by one part in a million are told from each other.
pub fn largest_singular_value(w: &Tensor, squarings: usize) -> Result<Tensor> {
    let (o, i) = w.dims2()?;
    let own = w.detach();
    let turned = own.t()?.contiguous()?;
    let own = own.contiguous()?;
    let mut gram = if o < i { own.matmul(&turned)? } else { turned.matmul(&own)? };
    for _ in 0..squarings {
        let size = (gram.abs()?.max_all()? + f64::from(f32::MIN_POSITIVE))?;
        let scaled = gram.broadcast_div(&size)?;
        gram = scaled.matmul(&scaled)?;
    }
    // The column with the largest diagonal entry is not next to orthogonal to v.
    let n = gram.dim(0)?;
    let eye = Tensor::eye(n, gram.dtype(), gram.device())?;
    let diagonal = (&gram * &eye)?.sum(D::Minus1)?;
    let at = diagonal.argmax(0)?;
    let column = gram.index_select(&at.reshape(1)?, 0)?;
    let unit = |v: Tensor| v.broadcast_div(&(v.sqr()?.sum_all()?.sqrt()? + f64::from(f32::MIN_POSITIVE))?);
    let side = unit(column)?;
    let (u, v) = if o < i {
        let v = unit(side.matmul(&own)?)?;
        (side, v)
    } else {
        let u = unit(side.matmul(&turned)?)?;
        (u, side)
    };
    // u^T W v, whose gradient is u v^T.
    u.matmul(w)?.mul(&v)?.sum_all()
}

/// At least the norm of a matrix `[O, I]`, of the number type that it has, as a tensor of one number; no gradient: `||G^(2^j)||_inf^(1 / 2^j)`
/// bounds the square of the norm, G the Gram matrix on the smaller side, and lies above it by n^(1 / 2^(j + 1)) at the most.
///
/// The Gram matrix is off by at most rows columns u of the square of the norm, a squaring by n^2 u, which the root takes 2^-j of: all of them,
/// and the logarithms' sum, together by less than 4 rows columns u + 64 u.
pub fn norm_above(m: &Tensor, squarings: u32) -> Result<Tensor> {
    let m = m.detach().contiguous()?;
    let (rows, columns) = m.dims2()?;
    let turned = m.t()?.contiguous()?;
    let mut gram = if rows < columns { m.matmul(&turned)? } else { turned.matmul(&m)? };
    let mut squared = Tensor::zeros((), gram.dtype(), gram.device())?;
    for power in 0..=squarings {
        // In logarithms: powers leave the range.
        let size = (gram.abs()?.sum(1)?.max_all()? + f64::from(f32::MIN_POSITIVE))?;
        squared = (squared + (size.log()? / 2f64.powi(power as i32))?)?;
        if power < squarings {
            let scaled = gram.broadcast_div(&size)?;
            gram = scaled.matmul(&scaled)?;
        }
    }
    let sizes = (rows * columns) as f64;
    let unit = if gram.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    (squared * 0.5)?.exp()? * (1.0 + 4.0 * sizes * unit + 64.0 * unit)
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
