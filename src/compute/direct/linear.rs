//! Products of a linear layer in f32: few rows (a batch) against a large matrix that is read once
//!
//! ```text
//! rows      y[m, n] = sum_k x[m, k] w[n, k]      y = x W^T: both rows lie along k, summed in registers of 16
//! columns   x[m, n] = sum_k y[m, k] w[k, n]      x = y W
//! outer     dw[m, n] = sum_k s_k y[k, m] x[k, n]   the gradient of W
//! ```
//!
//! A general matrix product repacks W, which at a batch of 64 costs more than the product. Here `rows` reads W as it lies;
//! `columns` and `outer` copy 64 columns at a time, with |W| taken on the way where asked for. Parallel over the outputs,
//! so sums do not depend on the number of threads.

use super::super::elementwise::Shared;
use super::layout::LANES;
use rayon::prelude::*;
use std::arch::x86_64::*;

/// Rows of `x` and of `w` in a tile of `rows`, and rows in a tile of `columns` and `outer`, four registers wide.
const X_ROWS: usize = 6;
const W_ROWS: usize = 4;
const PANEL: usize = 4 * LANES;
/// Blocks of `rows` that stay in the second-level cache: places along k, rows of x, rows of w a task works on.
const DEPTH: usize = 2048;
const BATCH: usize = 64;
const TASK: usize = 32;

/// `y[m, n] = sum_k x[m, k] w[n, k]`, or with |w|; `x` is M x K, `w` is N x K.
pub fn rows(x: &[f32], w: &[f32], k: usize, absolute: bool, y: &mut [f32]) {
    let (m, n) = (x.len() / k, w.len() / k);
    assert!(super::available() && x.len() == m * k && w.len() == n * k && y.len() == m * n);
    let room = Shared::new(y);
    (0..n.div_ceil(TASK)).into_par_iter().for_each(|task| {
        let mine = task * TASK..((task + 1) * TASK).min(n);
        for batch in (0..m).step_by(BATCH) {
            for depth in (0..k).step_by(DEPTH) {
                let size = (k - depth).min(DEPTH);
                for b in mine.clone().step_by(W_ROWS) {
                    for a in (batch..(batch + BATCH).min(m)).step_by(X_ROWS) {
                        let (ma, nb) = ((batch + BATCH).min(m).min(a + X_ROWS) - a, mine.end.min(b + W_ROWS) - b);
                        // SAFETY: the tile's rows lie inside x and w, its outputs belong to this task.
                        unsafe {
                            let (x, w) = (x.as_ptr().add(a * k + depth), w.as_ptr().add(b * k + depth));
                            let dots = dots_of(ma, nb)(x, w, k, size, absolute);
                            for (i, dots) in dots.iter().enumerate().take(ma) {
                                let y = room.part((a + i) * n + b, nb);
                                for (y, dot) in y.iter_mut().zip(dots) {
                                    *y = if depth == 0 { *dot } else { *y + *dot };
                                }
                            }
                        }
                    }
                }
            }
        }
    });
}

type Dots = [[f32; W_ROWS]; X_ROWS];

/// The tile for so many rows of x and of w.
fn dots_of(m: usize, n: usize) -> unsafe fn(*const f32, *const f32, usize, usize, bool) -> Dots {
    macro_rules! pick {
        ($($m:literal)*) => {
            match (m, n) {
                $(($m, 1) => dots::<$m, 1>, ($m, 2) => dots::<$m, 2>, ($m, 3) => dots::<$m, 3>, ($m, _) => dots::<$m, 4>,)*
                _ => unreachable!("a tile has 1 to 6 rows"),
            }
        };
    }
    pick!(1 2 3 4 5 6)
}

#[target_feature(enable = "avx512f")]
unsafe fn dots<const M: usize, const N: usize>(
    x: *const f32,
    w: *const f32,
    stride: usize,
    k: usize,
    absolute: bool,
) -> Dots {
    let mut sums = [[_mm512_setzero_ps(); N]; M];
    let bits = _mm512_set1_epi32(if absolute { i32::MAX } else { -1 });
    for at in (0..k).step_by(LANES) {
        let some = if k - at < LANES { ((1u32 << (k - at)) - 1) as __mmask16 } else { !0 };
        let mut ws = [_mm512_setzero_ps(); N];
        for (j, own) in ws.iter_mut().enumerate() {
            // SAFETY: inside row j, by the mask.
            let row = unsafe { _mm512_maskz_loadu_ps(some, w.add(j * stride + at)) };
            *own = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(row), bits));
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: inside row i, by the mask.
            let row = unsafe { _mm512_maskz_loadu_ps(some, x.add(i * stride + at)) };
            for j in 0..N {
                sums[j] = _mm512_fmadd_ps(row, ws[j], sums[j]);
            }
        }
    }
    let mut out = [[0.0; W_ROWS]; X_ROWS];
    for i in 0..M {
        for j in 0..N {
            out[i][j] = _mm512_reduce_add_ps(sums[i][j]);
        }
    }
    out
}

/// `x[m, n] = sum_k y[m, k] w[k, n]`, or with |w|; `y` is M x K, `w` is K x N.
pub fn columns(y: &[f32], w: &[f32], n: usize, absolute: bool, x: &mut [f32]) {
    let k = w.len() / n;
    let m = y.len() / k;
    assert!(super::available() && w.len() == n * k && y.len() == m * k && x.len() == m * n);
    let mut turned = vec![0.0; m * k];
    for (i, row) in y.chunks(k).enumerate() {
        row.iter().enumerate().for_each(|(j, y)| turned[j * m + i] = *y);
    }
    let room = Shared::new(x);
    (0..n.div_ceil(PANEL)).into_par_iter().for_each_init(Vec::new, |panel, at| {
        let from = at * PANEL;
        copy_panel(w, n, from, absolute, panel);
        for a in (0..m).step_by(X_ROWS) {
            // SAFETY: the tile lies inside; these columns belong to this task.
            unsafe { tile_of((m - a).min(X_ROWS))(&turned[a..], m, panel, Start::Zero, &room, (a, from, n)) };
        }
    });
}

/// `dw[m, n] = sum_k y[k, m] x[k, n] + sign(w[m, n]) sum_k z[k, m] h[k, n]`: the gradient of W in `x W^T` and `h |W|^T`
/// together; `y`, `z` have rows of `m`, the others of `n`.
pub fn outer((y, x): (&[f32], &[f32]), (z, h): (&[f32], &[f32]), w: &[f32], m: usize, n: usize, dw: &mut [f32]) {
    assert!(super::available() && w.len() == m * n && dw.len() == m * n);
    assert!(y.len() / m == x.len() / n && z.len() / m == h.len() / n);
    let room = Shared::new(dw);
    (0..n.div_ceil(PANEL)).into_par_iter().for_each_init(
        || (vec![], vec![]),
        |(xs, hs), at| {
            let from = at * PANEL;
            copy_panel(x, n, from, false, xs);
            copy_panel(h, n, from, false, hs);
            for a in (0..m).step_by(X_ROWS) {
                let tile = tile_of((m - a).min(X_ROWS));
                // SAFETY: the tile lies inside; these columns belong to this task.
                unsafe {
                    tile(&z[a..], m, hs, Start::Zero, &room, (a, from, n));
                    tile(&y[a..], m, xs, Start::Signed(w), &room, (a, from, n));
                }
            }
        },
    );
}

/// 64 columns of a matrix with rows of `n`, side by side; beyond the last column zeros.
fn copy_panel(w: &[f32], n: usize, from: usize, absolute: bool, panel: &mut Vec<[f32; PANEL]>) {
    let width = (n - from).min(PANEL);
    panel.clear();
    panel.extend(w.chunks(n).map(|row| {
        let mut line = [0.0; PANEL];
        line[..width].copy_from_slice(&row[from..from + width]);
        if absolute {
            line.iter_mut().for_each(|w| *w = w.abs());
        }
        line
    }));
}

/// What a tile's sums begin with.
#[derive(Clone, Copy)]
enum Start<'a> {
    Zero,
    /// What is there, times the sign of these.
    Signed(&'a [f32]),
}

/// (a's numbers by rows of k, their stride, panel, start, output, (first row, first column, stride)).
type Tile = unsafe fn(&[f32], usize, &[[f32; PANEL]], Start, &Shared<f32>, (usize, usize, usize));

fn tile_of(m: usize) -> Tile {
    match m {
        1 => tile::<1>,
        2 => tile::<2>,
        3 => tile::<3>,
        4 => tile::<4>,
        5 => tile::<5>,
        _ => tile::<6>,
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn tile<const M: usize>(
    a: &[f32],
    stride: usize,
    panel: &[[f32; PANEL]],
    start: Start,
    out: &Shared<f32>,
    (row, column, n): (usize, usize, usize),
) {
    let width = (n - column).min(PANEL);
    let mask = |j: usize| match width.saturating_sub(j * LANES) {
        left @ 0..LANES => ((1u32 << left) - 1) as __mmask16,
        _ => !0,
    };
    let mut sums = [[_mm512_setzero_ps(); PANEL / LANES]; M];
    if let Start::Signed(w) = start {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: this row's columns, the caller's own.
            let before = unsafe { out.part((row + i) * n + column, width) };
            let w = &w[(row + i) * n + column..][..width];
            for (j, sum) in sums.iter_mut().enumerate().filter(|(j, _)| j * LANES < width) {
                // SAFETY: inside both, by the mask.
                let (old, w) = unsafe {
                    let at = j * LANES;
                    (
                        _mm512_maskz_loadu_ps(mask(j), before.as_ptr().add(at)),
                        _mm512_maskz_loadu_ps(mask(j), w.as_ptr().add(at)),
                    )
                };
                let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(w, _mm512_setzero_ps());
                let nonzero = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(w, _mm512_setzero_ps());
                *sum = _mm512_mask_sub_ps(_mm512_maskz_mov_ps(nonzero, old), negative, _mm512_setzero_ps(), old);
            }
        }
    }
    let k = panel.len();
    assert!(k == 0 || a.len() >= (k - 1) * stride + M);
    for (at, line) in panel.iter().enumerate() {
        // SAFETY: a line has four registers; the numbers of `a` lie inside, asserted above.
        unsafe {
            let line: [__m512; PANEL / LANES] = std::array::from_fn(|j| _mm512_loadu_ps(line.as_ptr().add(j * LANES)));
            let a = a.as_ptr().add(at * stride);
            for (i, sums) in sums.iter_mut().enumerate() {
                let value = super::gradient::broadcast(a.add(i));
                for (sum, line) in sums.iter_mut().zip(&line) {
                    *sum = _mm512_fmadd_ps(value, *line, *sum);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        // SAFETY: this row's columns, the caller's own, by the mask.
        unsafe {
            let to = out.part((row + i) * n + column, width).as_mut_ptr();
            for (j, sum) in sums.iter().enumerate().filter(|(j, _)| j * LANES < width) {
                _mm512_mask_storeu_ps(to.add(j * LANES), mask(j), *sum);
            }
        }
    }
}
