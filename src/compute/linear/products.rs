//! The products of a linear layer with a batch, on the CPU: direct kernels for f32 where the processor has them (see
//! [`super::direct`]), general matrix products otherwise
//!
//! ```text
//! rows      y = x W^T, or x |W|^T        columns   x = y W, or y |W|
//! by_itself y = x W^T in f64, each sample's sums in an order of their own: the last digits do not depend on who shares the batch
//! outer     dW = y^T x + sign(W) (z^T h)
//! ```
//!
//! By `by_itself` a sample's digits in f64 do not depend on its batch on the CPU; convolutions go image by image anyway.

use crate::compute::conv::matrix::{Operand, added_product, parallel_product};
use crate::compute::element::{Element, Host};
use crate::compute::elementwise::loops::{absolute as magnitude, merge};
use candle_core::{DType, Result, Tensor};
use gemm::Parallelism;
use rayon::prelude::*;

const ALL: Parallelism = Parallelism::Rayon(0);

/// `y[m, n] = sum_k x[m, k] w[n, k]`, or with |w|; rows of `x` and `w` have `k` numbers.
pub fn rows<T: Element>(x: &[T], w: &[T], k: usize, absolute: bool, y: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(x), Some(w), true) = (T::as_f32(x), T::as_f32(w), crate::compute::simd::form::available())
        && let Some(y) = T::as_f32_mut(y)
    {
        return crate::compute::linear::direct::rows(x, w, k, absolute, y);
    }
    let (m, n) = (x.len() / k, w.len() / k);
    let own = if absolute { magnitude(w) } else { vec![] };
    let w = if absolute { &own } else { w };
    parallel_product(m, n, k, Operand::rows(x, k), Operand::columns(w, k), y, ALL);
}

/// Is a product of these, which no gradient flows through, one for [`by_itself`]: in f64 on the CPU, as certificates are?
pub fn is_by_itself(x: &Tensor, w: &Tensor) -> bool {
    let plain = |t: &Tensor| t.dtype() == DType::F64 && t.device().is_cpu() && t.rank() == 2 && !t.track_op();
    plain(x) && plain(w)
}

/// `y[m, n] = sum_k x[m, k] w[n, k]` in f64, without a gradient. A matrix product chooses the order of its sums by its size, the
/// batch's included; here it follows from `k` alone.
pub fn by_itself(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let ((m, k), n) = (x.dims2()?, w.dim(0)?);
    // candle's own message for what does not fit.
    if k != w.dim(1)? || k == 0 || n == 0 {
        return x.matmul(&w.t()?);
    }
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    let (from, by) = (Host::of(&x), Host::of(&w));
    let (from, by) = (from.slice::<f64>()?, by.slice::<f64>()?);
    let mut y = vec![0.0; m * n];
    // Tiles, so that rows of W are read once for several samples.
    const SAMPLES: usize = 8;
    y.par_chunks_mut(SAMPLES * n).zip(from.par_chunks(SAMPLES * k)).for_each(|(y, x)| {
        for (j, w) in by.chunks_exact(k).enumerate() {
            for (b, x) in x.chunks_exact(k).enumerate() {
                y[b * n + j] = dot(x, w);
            }
        }
    });
    Tensor::from_vec(y, (m, n), x.device())
}

/// The scalar product, in eight sums side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (wide_a, wide_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = wide_a.remainder().iter().zip(wide_b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in wide_a.zip(wide_b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    rest + sums.iter().sum::<f64>()
}

/// `x[m, n] = sum_k y[m, k] w[k, n]`, or with |w|; rows of `w` have `n` numbers.
pub fn columns<T: Element>(y: &[T], w: &[T], n: usize, absolute: bool, x: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(y), Some(w), true) = (T::as_f32(y), T::as_f32(w), crate::compute::simd::form::available())
        && let Some(x) = T::as_f32_mut(x)
    {
        return crate::compute::linear::direct::columns(y, w, n, absolute, x);
    }
    let k = w.len() / n;
    let own = if absolute { magnitude(w) } else { vec![] };
    let w = if absolute { &own } else { w };
    parallel_product(y.len() / k, n, k, Operand::rows(y, k), Operand::rows(w, n), x, ALL);
}

/// `dw = y^T x + sign(w) (z^T h)`: `y` and `z` have rows of `m`, `x` and `h` of `n`.
pub fn outer<T: Element>((y, x): (&[T], &[T]), (z, h): (&[T], &[T]), w: &[T], m: usize, n: usize) -> Vec<T> {
    let mut dw = vec![T::ZERO; m * n];
    #[cfg(target_arch = "x86_64")]
    if let (Some(y), Some(x), Some(z), Some(h), true) =
        (T::as_f32(y), T::as_f32(x), T::as_f32(z), T::as_f32(h), crate::compute::simd::form::available())
    {
        if let (Some(w), Some(dw)) = (T::as_f32(w), T::as_f32_mut(&mut dw)) {
            crate::compute::linear::direct::outer((y, x), (z, h), w, m, n, dw);
        }
        return dw;
    }
    parallel_product(m, n, z.len() / m, Operand::columns(z, m), Operand::rows(h, n), &mut dw, ALL);
    dw = merge(dw, w, |d, w| match w {
        w if w > T::ZERO => d,
        w if w < T::ZERO => -d,
        _ => T::ZERO,
    });
    added_product(m, n, y.len() / m, Operand::columns(y, m), Operand::rows(x, n), &mut dw, ALL);
    dw
}
