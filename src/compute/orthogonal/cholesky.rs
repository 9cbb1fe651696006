//! `L^-1 X` of a square X, L the Cholesky factor of `X X^T + 1e-3 mean(diag(X X^T)) I`: a matrix whose norm is below 1
//!
//! ```text
//! R = L^-1 by halves:   S = [A .; B C]:   R_A,  L_B = B R_A^T,  R_C of C - L_B L_B^T      R = [R_A 0; -R_C L_B R_A  R_C]
//! gradient              dR = -Phi(R dS R^T) R,   Phi the lower triangle with half the diagonal
//! ```
//!
//! The added part is a constant of the gradient, as published.

use crate::compute::autograd::with_gradient;
use crate::compute::gpu::{self, Blocks, Source, launch, room};
use candle_core::{DType, Device, Result, Tensor};

/// What is added to the diagonal, in its mean.
const RIDGE: f64 = 1e-3;

/// `[N, N]` to `[N, N]`.
pub fn triangular(x: &Tensor) -> Result<Tensor> {
    let n = x.dim(0)?;
    let gram = x.matmul(&x.t()?.contiguous()?)?;
    let mean = (x.detach().sqr()?.sum_all()? * (RIDGE / n as f64))?;
    let ridge = Tensor::eye(n, x.dtype(), x.device())?.broadcast_mul(&mean)?;
    inverse_factor(&(gram + ridge)?)?.matmul(x)
}

/// `L^-1` of a symmetric positive definite matrix.
fn inverse_factor(s: &Tensor) -> Result<Tensor> {
    let own = s.detach();
    // On the host in f64, which costs little there.
    let own = if gpu::has_kernel(&own) { own } else { own.to_dtype(DType::F64)? };
    let value = by_halves(&own)?.to_dtype(s.dtype())?;
    let r = value.copy()?;
    with_gradient("inverse_factor", s, &value, move |g| {
        let n = r.dim(0)?;
        let turned = r.t()?.contiguous()?;
        let inner = g.contiguous()?.matmul(&turned)?;
        let lower = (inner * triangle(n, r.dtype(), r.device())?)?;
        let own = turned.matmul(&lower)?.matmul(&r)?.neg()?;
        // S is symmetric, and so is what moves it.
        (&own + own.t()?.contiguous()?)? * 0.5
    })
}

/// Ones below the diagonal, halves on it.
fn triangle(n: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    Tensor::tril2(n, dtype, device)? - (Tensor::eye(n, dtype, device)? * 0.5)?
}

/// Rows that are gone through one by one.
const FEW: usize = 32;

fn by_halves(s: &Tensor) -> Result<Tensor> {
    let n = s.dim(0)?;
    if n <= FEW {
        return few(s);
    }
    let half = n / 2;
    let block = |row, rows, column, columns| s.narrow(0, row, rows)?.narrow(1, column, columns)?.contiguous();
    let first = by_halves(&block(0, half, 0, half)?)?;
    let below = block(half, n - half, 0, half)?.matmul(&first.t()?.contiguous()?)?;
    let rest = (block(half, n - half, half, n - half)? - below.matmul(&below.t()?.contiguous()?)?)?;
    let second = by_halves(&rest)?;
    let corner = second.matmul(&below)?.matmul(&first)?.neg()?;
    let above = Tensor::cat(&[&first, &Tensor::zeros((half, n - half), s.dtype(), s.device())?], 1)?;
    Tensor::cat(&[above, Tensor::cat(&[&corner, &second], 1)?], 0)
}

/// L, and its inverse, row by row. What is not positive definite gives numbers that are not finite.
fn few(s: &Tensor) -> Result<Tensor> {
    let n = s.dim(0)?;
    if gpu::has_kernel(s) {
        let own = || room((n, n), s.dtype(), s.device());
        let (l, r) = (own()?, own()?);
        launch(
            Source::Inverse,
            "invert_factor",
            s,
            Blocks::Exactly(1),
            &[s.into(), (&l).into(), (&r).into(), n.into()],
        )?;
        return Ok(r);
    }
    let s = s.flatten_all()?.to_vec1::<f64>()?;
    let (mut l, mut r) = (vec![0.0; n * n], vec![0.0; n * n]);
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = s[i * n + j] - sum;
            l[i * n + j] = if i == j { rest.sqrt() } else { rest / l[j * n + j] };
        }
        for j in 0..=i {
            let unit = if i == j { 1.0 } else { 0.0 };
            let sum: f64 = (j..i).map(|k| l[i * n + k] * r[k * n + j]).sum();
            r[i * n + j] = (unit - sum) / l[i * n + i];
        }
    }
    Tensor::from_vec(r, (n, n), &Device::Cpu)
}
