//! Products of parts of arrays that lie with strides, and of batches of matrices
//!
//! ```text
//! d <- keep d + times a b,     each a part of a slice: its first element, and the steps from row to row and from column to column
//! ```

use crate::compute::element::{Element, for_float, slice};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use gemm::Parallelism;
use rayon::prelude::*;

/// How a matrix lies in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Lie {
    pub at: usize,
    pub row: usize,
    pub column: usize,
}

impl Lie {
    /// From `at` on, row by row, each of so many numbers.
    pub fn rows(at: usize, row: usize) -> Self {
        Self { at, row, column: 1 }
    }

    /// Does it lie inside of so many numbers?
    fn fits(self, rows: usize, columns: usize, len: usize) -> bool {
        rows == 0 || columns == 0 || self.at + (rows - 1) * self.row + (columns - 1) * self.column < len
    }
}

/// `d <- keep d + times a b` of `[m, k]` and `[k, n]`.
pub fn multiply<T: Element>(
    threads: Parallelism,
    (m, n, k): (usize, usize, usize),
    (d, of_d): (&mut [T], Lie),
    keep: T,
    (a, of_a): (&[T], Lie),
    (b, of_b): (&[T], Lie),
    times: T,
) {
    assert!(of_d.fits(m, n, d.len()) && of_a.fits(m, k, a.len()) && of_b.fits(k, n, b.len()), "a part of a slice");
    // SAFETY: every element that the strides reach lies in its slice.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            d.as_mut_ptr().add(of_d.at),
            of_d.column as isize,
            of_d.row as isize,
            keep != T::ZERO,
            a.as_ptr().add(of_a.at),
            of_a.column as isize,
            of_a.row as isize,
            b.as_ptr().add(of_b.at),
            of_b.column as isize,
            of_b.row as isize,
            keep,
            times,
            false,
            false,
            false,
            threads,
        );
    }
}

/// The product of each pair of a batch, `[F, m, k]` and `[F, k, n]` to `[F, m, n]`; `turned` says which of the two lie the other way round. No
/// gradient.
pub fn batched(a: &Tensor, b: &Tensor, turned: [bool; 2]) -> Result<Tensor> {
    let (a, b) = (a.detach().contiguous()?, b.detach().contiguous()?);
    if a.device().is_cpu() {
        return a.apply_op2_no_bwd(&b, &Batched { turned });
    }
    let way = |t: Tensor, turned: bool| if turned { t.t()?.contiguous() } else { Ok(t) };
    way(a, turned[0])?.matmul(&way(b, turned[1])?)
}

struct Batched {
    turned: [bool; 2],
}

impl CustomOp2 for Batched {
    fn name(&self) -> &'static str {
        "batched"
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((count, a_rows, a_columns), (other, b_rows, b_columns)) = (la.shape().dims3()?, lb.shape().dims3()?);
        let (m, k) = if self.turned[0] { (a_columns, a_rows) } else { (a_rows, a_columns) };
        let (inner, n) = if self.turned[1] { (b_columns, b_rows) } else { (b_rows, b_columns) };
        if count != other || k != inner {
            bail!("batched: {:?} and {:?} do not fit, turned {:?}", la.shape(), lb.shape(), self.turned);
        }
        let lie = |columns, turned| Lie {
            at: 0,
            row: if turned { 1 } else { columns },
            column: if turned { columns } else { 1 },
        };
        let (of_a, of_b) = (lie(a_columns, self.turned[0]), lie(b_columns, self.turned[1]));
        for_float!(self.name(), a, T => {
            let (a, b) = (slice::<T>(self.name(), a, la)?, slice::<T>(self.name(), b, lb)?);
            let mut y = vec![T::ZERO; count * m * n];
            let one = |threads, (i, y): (usize, &mut [T])| {
                let (a, b) = (&a[i * m * k..][..m * k], &b[i * k * n..][..k * n]);
                multiply(threads, (m, n, k), (y, Lie::rows(0, n)), T::ZERO, (a, of_a), (b, of_b), T::ONE);
            };
            match y.len() {
                0 => {}
                // A few share the threads within each.
                _ if count < rayon::current_num_threads() => {
                    y.chunks_mut(m * n).enumerate().for_each(|pair| one(Parallelism::Rayon(0), pair));
                }
                _ => y.par_chunks_mut(m * n).enumerate().for_each(|pair| one(Parallelism::None, pair)),
            }
            Ok((T::to_cpu_storage_owned(y), Shape::from((count, m, n))))
        })
    }
}
