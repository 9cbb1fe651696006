//! The transforms on the CPU, with channels innermost between the two products, so that each is a product of long rows
//!
//! ```text
//! x_b [C, n, n] turned to [n columns, n rows, C]  ->  [(m, 2), n, C]  ->  for each f2:  [2 n, 2 n] times [(2, n), C], written to its frequencies
//! ```

use crate::compute::element::{Element, for_float, slice};
use crate::compute::linear::strided::{Lie, multiply};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, WithDType};
use gemm::Parallelism::None as Alone;
use rayon::prelude::*;

/// Of x `[B, C, n, n]`, columns `[n, (m, 2)]` and rows `[(2, n), (2, n)]`.
pub struct Analyse;

/// Of y `[F, B, 2 C]`, columns `[(m, 2), n]` and rows turned `[(2, n), (2, n)]`.
pub struct Synthesise;

impl CustomOp3 for Analyse {
    fn name(&self) -> &'static str {
        "analyse"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        columns: &CpuStorage,
        lc: &Layout,
        rows: &CpuStorage,
        lr: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let (batch, c, n, _) = lx.shape().dims4()?;
        let m = n / 2 + 1;
        for_float!(op, x, T => {
            let (x, columns, rows) = (slice::<T>(op, x, lx)?, slice::<T>(op, columns, lc)?, slice::<T>(op, rows, lr)?);
            let line = n * c;
            let mut half = vec![T::ZERO; batch * 2 * m * line];
            half.par_chunks_mut((2 * m * line).max(1)).zip(x.par_chunks((line * n).max(1))).for_each_init(
                || vec![T::ZERO; line * n],
                |turned, (half, x)| {
                    turn(x, turned, c, n * n, |p| p % n * n + p / n);
                    let by = Lie { at: 0, row: 1, column: 2 * m };
                    let own = Lie::rows(0, line);
                    multiply(Alone, (2 * m, line, n), (half, own), T::ZERO, (columns, by), (turned, own), T::ONE);
                },
            );
            let mut y = vec![T::ZERO; m * n * batch * 2 * c];
            y.par_chunks_mut((n * batch * 2 * c).max(1)).enumerate().for_each(|(f, y)| {
                for (b, part) in (0..batch).flat_map(|b| [(b, 0), (b, 1)]) {
                    let to = Lie::rows(b * 2 * c + part * c, batch * 2 * c);
                    let by = Lie { at: part * n, row: 1, column: 2 * n };
                    let from = Lie::rows((b * 2 * m + 2 * f) * line, c);
                    multiply(Alone, (n, c, 2 * n), (y, to), T::ZERO, (rows, by), (&half, from), T::ONE);
                }
            });
            Ok((T::to_cpu_storage_owned(y), Shape::from((m * n, batch, 2 * c))))
        })
    }
}

impl CustomOp3 for Synthesise {
    fn name(&self) -> &'static str {
        "synthesise"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        ly: &Layout,
        columns: &CpuStorage,
        lc: &Layout,
        rows: &CpuStorage,
        lr: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let ((_, batch, both), (_, n)) = (ly.shape().dims3()?, lc.shape().dims2()?);
        let (c, m) = (both / 2, n / 2 + 1);
        for_float!(op, y, T => {
            let (y, columns, rows) = (slice::<T>(op, y, ly)?, slice::<T>(op, columns, lc)?, slice::<T>(op, rows, lr)?);
            let line = n * c;
            let mut x = vec![T::ZERO; batch * line * n];
            x.par_chunks_mut((line * n).max(1)).enumerate().for_each_init(
                || (vec![T::ZERO; 2 * m * line], vec![T::ZERO; line * n]),
                |(half, turned), (b, x)| {
                    for f in 0..m {
                        let to = Lie::rows(2 * f * line, c);
                        for part in [0, 1] {
                            let by = Lie { at: part * n * 2 * n, row: 1, column: 2 * n };
                            let from = Lie::rows((f * n * batch + b) * 2 * c + part * c, batch * 2 * c);
                            let keep = if part == 0 { T::ZERO } else { T::ONE };
                            multiply(Alone, (2 * n, c, n), (half, to), keep, (rows, by), (y, from), T::ONE);
                        }
                    }
                    let by = Lie { at: 0, row: 1, column: n };
                    let own = Lie::rows(0, line);
                    multiply(Alone, (n, line, 2 * m), (turned, own), T::ZERO, (columns, by), (half, own), T::ONE);
                    turn(turned, x, n * n, c, |i| i);
                    // Columns came first.
                    x.chunks_exact_mut((n * n).max(1)).for_each(|plane| transpose(plane, n));
                },
            );
            Ok((T::to_cpu_storage_owned(x), Shape::from((batch, c, n, n))))
        })
    }
}

/// `[a, b]` to `[b, a]`, row j of the result to the place `place(j)`, in blocks that stay near.
fn turn<T: Element>(from: &[T], to: &mut [T], a: usize, b: usize, place: impl Fn(usize) -> usize) {
    const BLOCK: usize = 16;
    for j in (0..b).step_by(BLOCK) {
        for i in (0..a).step_by(BLOCK) {
            for k in j..(j + BLOCK).min(b) {
                let row = place(k) * a;
                for l in i..(i + BLOCK).min(a) {
                    to[row + l] = from[l * b + k];
                }
            }
        }
    }
}

fn transpose<T: Element>(plane: &mut [T], n: usize) {
    for i in 0..n {
        for j in 0..i {
            plane.swap(i * n + j, j * n + i);
        }
    }
}
