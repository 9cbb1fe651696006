//! The kernels under the halves: elimination of few rows, and on the CPU the halves too, in place
//!
//! ```text
//! for each k:   p = 1 / m_kk     row k: m_kj <- p m_kj (j != k), m_kk <- p
//!               other rows i, f = m_ik:  m_ij <- m_ij - f m_kj (j != k), m_ik <- -f p
//! ```

use crate::compute::element::{Element, for_float, slice};
use crate::compute::gpu::{self, Blocks, Source, launch, room};
use crate::compute::linear::strided::{Lie, multiply};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use gemm::Parallelism;
use rayon::prelude::*;

/// Most rows of a kernel's elimination.
pub const MOST: usize = 64;

/// Most rows that the CPU eliminates one by one.
const FEW: usize = 16;

/// `[F, n, n]` on a device with kernels, n at most [`MOST`].
pub fn by_kernel(m: &Tensor) -> Result<Tensor> {
    let (count, n, _) = m.dims3()?;
    let value = room(m.shape(), m.dtype(), m.device())?;
    launch(Source::Inverse, "invert", m, Blocks::Exactly(count), &[m.into(), (&value).into(), n.into()])?;
    Ok(value)
}

/// Does the CPU's own form take it?
pub fn is_on_cpu(m: &Tensor) -> bool {
    m.device().is_cpu() && !gpu::has_kernel(m)
}

/// `[F, n, n]` on the CPU, of any n.
pub fn on_cpu(m: &Tensor) -> Result<Tensor> {
    m.apply_op1_no_bwd(&Inverted)
}

struct Inverted;

impl CustomOp1 for Inverted {
    fn name(&self) -> &'static str {
        "inverse"
    }

    fn cpu_fwd(&self, m: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, n, _) = layout.shape().dims3()?;
        for_float!(self.name(), m, T => {
            let mut all = slice::<T>(self.name(), m, layout)?.to_vec();
            let one = |threads, m: &mut [T]| in_place(m, n, n, threads, &mut vec![]);
            match all.len() {
                0 => {}
                // A few share the threads within each.
                _ if count < rayon::current_num_threads() => {
                    all.chunks_mut(n * n).for_each(|m| one(Parallelism::Rayon(0), m));
                }
                _ => all.par_chunks_mut(n * n).for_each(|m| one(Parallelism::None, m)),
            }
            Ok((T::to_cpu_storage_owned(all), layout.shape().clone()))
        })
    }
}

/// The n rows of `m`, which lie `stride` apart.
fn in_place<T: Element>(m: &mut [T], n: usize, stride: usize, threads: Parallelism, scratch: &mut Vec<T>) {
    if n <= FEW {
        return eliminate(m, n, stride);
    }
    let (h, k) = (n / 2, n - n / 2);
    in_place(m, h, stride, threads, scratch);
    let (above, below) = m.split_at_mut(h * stride);
    let (left, right) = (Lie::rows(0, stride), Lie::rows(h, stride));
    let less = -T::ONE;
    // C A^-1
    let mut ca = vec![T::ZERO; k * h];
    multiply(threads, (k, h, h), (&mut ca, Lie::rows(0, h)), T::ZERO, (below, left), (above, left), T::ONE);
    // D - C A^-1 B, inverted
    multiply(threads, (k, k, h), (below, right), T::ONE, (&ca, Lie::rows(0, h)), (above, right), less);
    in_place(&mut below[h..], k, stride, threads, scratch);
    // -A^-1 B S^-1
    scratch.resize(h * k, T::ZERO);
    let own = Lie::rows(0, k);
    multiply(threads, (h, k, h), (scratch, own), T::ZERO, (above, left), (above, right), T::ONE);
    multiply(threads, (h, k, k), (above, right), T::ZERO, (scratch, own), (below, right), less);
    // A^-1 + A^-1 B S^-1 C A^-1
    for (row, kept) in above.chunks(stride).zip(scratch.chunks_exact_mut(k)) {
        kept.copy_from_slice(&row[h..n]);
    }
    multiply(threads, (h, h, k), (above, left), T::ONE, (scratch, own), (&ca, Lie::rows(0, h)), less);
    // -S^-1 C A^-1
    scratch.resize(k * h, T::ZERO);
    let own = Lie::rows(0, h);
    multiply(threads, (k, h, k), (scratch, own), T::ZERO, (below, right), (&ca, own), less);
    for (row, made) in below.chunks_mut(stride).zip(scratch.chunks_exact(h)) {
        row[..h].copy_from_slice(made);
    }
}

fn eliminate<T: Element>(m: &mut [T], n: usize, stride: usize) {
    let mut pivot = [T::ZERO; FEW];
    let pivot = &mut pivot[..n];
    for k in 0..n {
        let own = &mut m[k * stride..][..n];
        let p = T::ONE / own[k];
        own.iter_mut().for_each(|x| *x *= p);
        own[k] = p;
        pivot.copy_from_slice(own);
        for (i, row) in m.chunks_mut(stride).take(n).enumerate() {
            if i == k {
                continue;
            }
            let f = row[k];
            let row = &mut row[..n];
            row.iter_mut().zip(pivot.iter()).for_each(|(x, y)| *x -= f * *y);
            row[k] = -(f * p);
        }
    }
}
