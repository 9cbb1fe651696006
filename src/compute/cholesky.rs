//! Is a block-banded symmetric matrix positive definite? Answered by its Cholesky factorisation, block row by block row
//!
//! ```text
//! L_ij = (A_ij - sum_{k<j} L_ik L_jk^T) L_jj^-T      L_ii L_ii^T = A_ii - sum_{k<i} L_ik L_ik^T
//! ```
//!
//! Only the block rows within reach of the band are kept. Every entry is the usual sum of products in some order, so the
//! usual bound on rounding holds (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, theorem 10.3): a
//! factorisation that runs to its end has `L L^T = A + E`, `|E_ij| <= g / (1 - g) sqrt(a_ii a_jj)`, g = gamma(terms + 2).
//!
//! Blocks are stored column by column.

use crate::base::interrupt;
use crate::compute::simd::wide_loop;
use candle_core::Result;
use gemm::Parallelism;
use std::collections::VecDeque;

/// Columns below which the recursion ends.
const SMALL: usize = 16;
/// Rows that are worked on at once at the bottom of the recursion: 16 columns of them stay in the first-level cache.
const TILE: usize = 256;
/// Columns of a symmetric update that are done together; above their diagonal nothing is needed.
const PANEL: usize = 128;

/// A symmetric matrix in blocks, of which block row `i` has blocks `i - reach ..= i` (those right of the diagonal follow by
/// symmetry).
pub trait Banded {
    /// The size of each diagonal block.
    fn sizes(&self) -> &[usize];
    /// How many block columns left of the diagonal are not zero.
    fn reach(&self) -> usize;
    /// Blocks `max(i - reach, 0) ..= i` of block row `i`, each column by column.
    fn block_row(&self, i: usize) -> Vec<Vec<f64>>;
}

/// The most unknowns that any row of the matrix is coupled with, itself among them, left or right of the diagonal.
pub fn widest(matrix: &impl Banded) -> usize {
    let (sizes, reach) = (matrix.sizes(), matrix.reach());
    (0..sizes.len())
        .map(|i| sizes[i.saturating_sub(reach)..(i + reach + 1).min(sizes.len())].iter().sum())
        .max()
        .unwrap_or(0)
}

/// Multiplications and additions that [`positive`] needs for blocks of these sizes.
pub fn operations(sizes: &[usize], reach: usize) -> f64 {
    let m = |i: usize| sizes[i] as f64;
    let row = |i: usize| -> f64 {
        let first = i.saturating_sub(reach);
        let left: f64 =
            (first..i).map(|j| m(i) * m(j) * (m(j) + 2.0 * (first..j).map(m).sum::<f64>()) + m(i) * m(i) * m(j)).sum();
        left + m(i).powi(3) / 3.0
    };
    (0..sizes.len()).map(row).sum()
}

/// Does the factorisation of `shift I - matrix` run to its end? An entry that is not finite ends it: no.
pub fn positive(matrix: &impl Banded, shift: f64, threads: Parallelism) -> Result<bool> {
    let (sizes, reach) = (matrix.sizes(), matrix.reach());
    // The block rows that later ones still need.
    let mut done: VecDeque<(usize, Vec<Vec<f64>>)> = VecDeque::new();
    for (i, &m) in sizes.iter().enumerate() {
        interrupt::check()?;
        let first = i.saturating_sub(reach);
        while done.front().is_some_and(|(k, _)| *k < first) {
            done.pop_front();
        }
        let mut row = matrix.block_row(i);
        row.iter_mut().flatten().for_each(|a| *a = -*a);
        if let Some(diagonal) = row.last_mut() {
            (0..m).for_each(|k| diagonal[k * m + k] += shift);
        }
        for j in first..i {
            let (before, rest) = row.split_at_mut(j - first);
            let target = &mut rest[0];
            let (first_j, row_j) = of(&done, j, reach);
            for k in first.max(first_j)..j {
                let (a, b) = (&before[k - first], &row_j[k - first_j]);
                subtract(m, sizes[j], sizes[k], (a, m), (b, sizes[j]), target, m, threads);
            }
            solve(m, sizes[j], target, m, &row_j[j - first_j], sizes[j], threads);
        }
        let (before, rest) = row.split_at_mut(i - first);
        for (a, k) in before.iter().zip(first..i) {
            subtract_lower(m, sizes[k], (a, m), &mut rest[0], m, threads);
        }
        if !factor(m, &mut rest[0], m, threads) {
            return Ok(false);
        }
        done.push_back((i, row));
    }
    Ok(true)
}

/// The finished block row `j` and the column of its first block.
fn of(done: &VecDeque<(usize, Vec<Vec<f64>>)>, j: usize, reach: usize) -> (usize, &[Vec<f64>]) {
    let at = j - done.front().map_or(j, |(k, _)| *k);
    (j.saturating_sub(reach), &done[at].1)
}

/// `c -= a b^T`: `c` is m x n, the inner size k; each matrix with the distance of its columns.
#[expect(clippy::too_many_arguments, reason = "a matrix product has that many")]
fn subtract(
    m: usize,
    n: usize,
    k: usize,
    (a, lda): (&[f64], usize),
    (b, ldb): (&[f64], usize),
    c: &mut [f64],
    ldc: usize,
    threads: Parallelism,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let holds = |x: &[f64], ld: usize, rows: usize, columns: usize| rows <= ld && x.len() >= (columns - 1) * ld + rows;
    assert!(holds(a, lda, m, k) && holds(b, ldb, n, k) && holds(c, ldc, m, n), "matrix product out of bounds");
    // SAFETY: the three matrices lie inside their slices, as asserted, and `c` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            ldc as isize,
            1,
            true,
            a.as_ptr(),
            lda as isize,
            1,
            b.as_ptr(),
            1,
            ldb as isize,
            1.0,
            -1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// The lower triangle of `c -= a a^T`, `a` being m x k.
fn subtract_lower(m: usize, k: usize, (a, lda): (&[f64], usize), c: &mut [f64], ldc: usize, threads: Parallelism) {
    for from in (0..m).step_by(PANEL) {
        let width = PANEL.min(m - from);
        subtract(
            m - from,
            width,
            k,
            (&a[from.min(a.len())..], lda),
            (&a[from.min(a.len())..], lda),
            &mut c[from * ldc + from..],
            ldc,
            threads,
        );
    }
}

/// `x <- x l^-T` for lower triangular `l`, n x n; `x` is m x n.
fn solve(m: usize, n: usize, x: &mut [f64], ldx: usize, l: &[f64], ldl: usize, threads: Parallelism) {
    if m == 0 || n == 0 {
        return;
    }
    if n <= SMALL {
        return solve_small(m, n, x, ldx, l, ldl);
    }
    let half = n / 2;
    let (left, right) = x.split_at_mut(half * ldx);
    solve(m, half, left, ldx, l, ldl, threads);
    subtract(m, n - half, half, (left, ldx), (&l[half..], ldl), right, ldx, threads);
    solve(m, n - half, right, ldx, &l[half * ldl + half..], ldl, threads);
}

fn solve_small(m: usize, n: usize, x: &mut [f64], ldx: usize, l: &[f64], ldl: usize) {
    wide_loop(
        #[inline(always)]
        || {
            for from in (0..m).step_by(TILE) {
                let rows = TILE.min(m - from);
                for c in 0..n {
                    let (before, own) = x.split_at_mut(c * ldx);
                    let own = &mut own[from..from + rows];
                    for k in 0..c {
                        let (factor, other) = (l[k * ldl + c], &before[k * ldx + from..][..rows]);
                        own.iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
                    }
                    let pivot = l[c * ldl + c];
                    own.iter_mut().for_each(|x| *x /= pivot);
                }
            }
        },
    );
}

/// The lower triangle of `a`, n x n, becomes its Cholesky factor; `false` where a pivot is not above 0.
fn factor(n: usize, a: &mut [f64], lda: usize, threads: Parallelism) -> bool {
    if n <= SMALL {
        return factor_small(n, a, lda);
    }
    let half = n / 2;
    let (left, right) = a.split_at_mut(half * lda);
    if !factor(half, left, lda, threads) {
        return false;
    }
    // A copy, because the triangle and what is solved with it share their columns.
    let mut triangle = vec![0.0; half * half];
    (0..half).for_each(|c| triangle[c * half..][..half].copy_from_slice(&left[c * lda..][..half]));
    solve(n - half, half, &mut left[half..], lda, &triangle, half, threads);
    subtract_lower(n - half, half, (&left[half..], lda), &mut right[half..], lda, threads);
    factor(n - half, &mut right[half..], lda, threads)
}

fn factor_small(n: usize, a: &mut [f64], lda: usize) -> bool {
    for c in 0..n {
        let (before, own) = a.split_at_mut(c * lda);
        for k in 0..c {
            let other = &before[k * lda..];
            let factor = other[c];
            (c..n).for_each(|r| own[r] -= factor * other[r]);
        }
        let pivot = own[c];
        if !(pivot > 0.0 && pivot.is_finite()) {
            return false;
        }
        let root = pivot.sqrt();
        own[c] = root;
        own[c + 1..n].iter_mut().for_each(|x| *x /= root);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;

    struct Blocks {
        sizes: Vec<usize>,
        reach: usize,
        dense: Vec<f64>,
    }

    impl Blocks {
        /// `sum_k x_k x_k^T` with vectors `x_k` that span `reach + 1` neighbouring blocks.
        fn random(sizes: &[usize], reach: usize, random: &Generator) -> Self {
            let n: usize = sizes.iter().sum();
            let mut dense = vec![0.0; n * n];
            let starts: Vec<usize> = (0..=sizes.len()).map(|i| sizes[..i].iter().sum()).collect();
            for i in 0..sizes.len() {
                let (from, to) = (starts[i], starts[(i + reach + 1).min(sizes.len())]);
                for _ in 0..3 {
                    let x: Vec<f64> = (from..to).map(|_| random.gauss()).collect();
                    for r in from..to {
                        (from..to).for_each(|c| dense[c * n + r] += x[r - from] * x[c - from]);
                    }
                }
            }
            Self { sizes: sizes.to_vec(), reach, dense }
        }
    }

    impl Banded for Blocks {
        fn sizes(&self) -> &[usize] {
            &self.sizes
        }
        fn reach(&self) -> usize {
            self.reach
        }
        fn block_row(&self, i: usize) -> Vec<Vec<f64>> {
            let n: usize = self.sizes.iter().sum();
            let at = |i: usize| self.sizes[..i].iter().sum::<usize>();
            let block = |j: usize| {
                let entry = |c: usize, r: usize| self.dense[(at(j) + c) * n + at(i) + r];
                (0..self.sizes[j]).flat_map(|c| (0..self.sizes[i]).map(move |r| entry(c, r))).collect()
            };
            (i.saturating_sub(self.reach)..=i).map(block).collect()
        }
    }

    #[test]
    fn positive_exactly_above_the_largest_eigenvalue() {
        let random = Generator::new(5);
        for (sizes, reach) in
            [(vec![1], 0), (vec![40], 0), (vec![3, 0, 5, 2], 1), (vec![33, 20, 47, 1, 90], 2), (vec![200, 150], 1)]
        {
            let matrix = Blocks::random(&sizes, reach, &random);
            let n: usize = sizes.iter().sum();
            let largest = nalgebra::DMatrix::from_vec(n, n, matrix.dense.clone()).symmetric_eigenvalues().max();
            for (factor, expected) in [(1.0 + 1e-9, true), (1.0 - 1e-9, false), (3.0, true), (0.1, false)] {
                let found = positive(&matrix, largest * factor, Parallelism::None).expect("not interrupted");
                assert_eq!(found, expected, "{sizes:?} at {factor}");
            }
            assert!(!positive(&matrix, f64::NAN, Parallelism::None).expect("not interrupted"));
        }
    }
}
