//! The products of a linear layer with a batch, on the CPU: direct kernels for f32 where the processor has them (see
//! `direct::linear`), general matrix products otherwise
//!
//! ```text
//! rows      y = x W^T, or x |W|^T        columns   x = y W, or y |W|
//! outer     dW = y^T x + sign(W) (z^T h)
//! ```

use super::conv_matrix::{Operand, added_product, parallel_product};
use super::element::Element;
use super::elementwise::{absolute as magnitude, merge};
use gemm::Parallelism;

const ALL: Parallelism = Parallelism::Rayon(0);

/// `y[m, n] = sum_k x[m, k] w[n, k]`, or with |w|; rows of `x` and `w` have `k` numbers.
pub fn rows<T: Element>(x: &[T], w: &[T], k: usize, absolute: bool, y: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(x), Some(w), true) = (T::as_f32(x), T::as_f32(w), super::direct::available())
        && let Some(y) = T::as_f32_mut(y)
    {
        return super::direct::linear::rows(x, w, k, absolute, y);
    }
    let (m, n) = (x.len() / k, w.len() / k);
    let own = if absolute { magnitude(w) } else { vec![] };
    let w = if absolute { &own } else { w };
    parallel_product(m, n, k, Operand::rows(x, k), Operand::columns(w, k), y, ALL);
}

/// `x[m, n] = sum_k y[m, k] w[k, n]`, or with |w|; rows of `w` have `n` numbers.
pub fn columns<T: Element>(y: &[T], w: &[T], n: usize, absolute: bool, x: &mut [T]) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(y), Some(w), true) = (T::as_f32(y), T::as_f32(w), super::direct::available())
        && let Some(x) = T::as_f32_mut(x)
    {
        return super::direct::linear::columns(y, w, n, absolute, x);
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
        (T::as_f32(y), T::as_f32(x), T::as_f32(z), T::as_f32(h), super::direct::available())
    {
        if let (Some(w), Some(dw)) = (T::as_f32(w), T::as_f32_mut(&mut dw)) {
            super::direct::linear::outer((y, x), (z, h), w, m, n, dw);
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
