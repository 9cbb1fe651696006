//! The inverse of each matrix of a batch `[F, n, n]`, without pivots, for matrices whose symmetric part is positive definite
//!
//! ```text
//! x^T M x > 0 for all x != 0      I + U - U^T + V^T V, of which it is at least I; V^T V of a V of full rank
//! ```
//!
//! Every leading block and every Schur complement of such a matrix has the property again, so no pivot is 0 (Golub & Van Loan,
//! "Unsymmetric positive definite linear systems", 1979). By halves down to few rows, products between.
//!
//! ```text
//! [A B; C D]^-1:   S = D - C A^-1 B     [A^-1 + A^-1 B S^-1 C A^-1, -A^-1 B S^-1; -S^-1 C A^-1, S^-1]
//! gradient         d(M^-1) = -M^-1 dM M^-1
//! ```

mod small;

use crate::compute::autograd::with_gradient;
use crate::compute::linear::strided::batched;
use candle_core::{Result, Tensor, bail};

/// `[F, n, n]` to `[F, n, n]`. A matrix that is none of these may give anything.
pub fn inverse(m: &Tensor) -> Result<Tensor> {
    let (_, n, columns) = m.dims3()?;
    if n != columns {
        bail!("inverse: {n} rows and {columns} columns; a square matrix is wanted");
    }
    let value = inverted(m)?;
    let own = value.clone();
    with_gradient("inverse", m, &value, move |g| batched(&batched(&own, g, [true, false])?, &own, [false, true])?.neg())
}

/// The same without a gradient.
pub fn inverted(m: &Tensor) -> Result<Tensor> {
    let m = m.detach().contiguous()?;
    if small::is_on_cpu(&m) { small::on_cpu(&m) } else { by_halves(&m) }
}

fn by_halves(m: &Tensor) -> Result<Tensor> {
    let n = m.dim(1)?;
    if n <= small::MOST {
        return small::by_kernel(m);
    }
    let half = n / 2;
    let block = |row: (usize, usize), column: (usize, usize)| {
        m.narrow(1, row.0, row.1)?.narrow(2, column.0, column.1)?.contiguous()
    };
    let (first, second) = ((0, half), (half, n - half));
    let (a, b) = (by_halves(&block(first, first)?)?, block(first, second)?);
    let (c, d) = (block(second, first)?, block(second, second)?);
    let ca = c.matmul(&a)?;
    let s = by_halves(&(d - ca.matmul(&b)?)?)?;
    let right = a.matmul(&b)?.matmul(&s)?.neg()?;
    let above = Tensor::cat(&[&(a - right.matmul(&ca)?)?, &right], 2)?;
    let below = Tensor::cat(&[&s.matmul(&ca)?.neg()?, &s], 2)?;
    Tensor::cat(&[above, below], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;
    use crate::compute::autograd::backward;
    use candle_core::{DType, Device, Var};

    /// `I + U - U^T + V^T V`, of numbers around `size`.
    fn made(batch: usize, n: usize, size: f64) -> Tensor {
        let random = Generator::new(7);
        let draw = |rows| random.normal(0.0, size, (batch, rows, n), DType::F64, &Device::Cpu).unwrap();
        let (u, v) = (draw(n), draw(n + 3));
        let skew = (&u - u.t().unwrap()).unwrap();
        let eye = Tensor::eye(n, DType::F64, &Device::Cpu).unwrap();
        (skew + v.t().unwrap().contiguous().unwrap().matmul(&v).unwrap()).unwrap().broadcast_add(&eye).unwrap()
    }

    #[test]
    fn times_the_matrix_it_is_one_and_its_gradient_is_that_of_differences() {
        for (batch, n, size) in [(1, 1, 1.0), (3, 7, 1.0), (2, 64, 0.5), (1, 131, 0.2), (2, 5, 100.0), (3, 33, 1.0)] {
            let m = made(batch, n, size);
            let one = inverse(&m).unwrap().matmul(&m).unwrap();
            let eye = Tensor::eye(n, DType::F64, &Device::Cpu).unwrap();
            let gap = one.broadcast_sub(&eye).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(gap < 1e-9, "{n}: {gap:e}");
        }
        let (m, along) = (made(2, 6, 0.7), made(2, 6, 0.3));
        let var = Var::from_tensor(&m).unwrap();
        let sum = |m: &Tensor| (inverse(m).unwrap() * &along).unwrap().sum_all().unwrap();
        let gradient = backward(&sum(&var)).unwrap().get(&var).unwrap().clone();
        let own = (&gradient * &along).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let at = |h: f64| sum(&(&m + (&along * h).unwrap()).unwrap()).to_scalar::<f64>().unwrap();
        let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
        assert!((own - difference).abs() < 1e-7 * own.abs().max(1.0), "{own} {difference}");
        assert!(inverse(&Tensor::zeros((1, 2, 3), DType::F64, &Device::Cpu).unwrap()).is_err());
    }
}
