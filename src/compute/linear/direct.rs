//! Products of a linear layer in f32: few rows (a batch) against a large matrix that is read once
//!
//! ```text
//! rows      y[m, n] = sum_k x[m, k] w[n, k]      y = x W^T: both rows lie along k, summed in registers
//! columns   x[m, n] = sum_k y[m, k] w[k, n]      x = y W
//! outer     dw[m, n] = sum_k s_k y[k, m] x[k, n]   the gradient of W
//! ```
//!
//! A general matrix product repacks W, which at a batch of 64 costs more than the product. Here `rows` reads W as it lies;
//! `columns` and `outer` copy 64 columns at a time, with |W| taken on the way where asked for. Parallel over the outputs,
//! so sums do not depend on the number of threads.

use crate::compute::elementwise::loops::Shared;
use crate::compute::simd::dispatch::run;
use crate::compute::simd::form::{Form, present};
use crate::compute::simd::lines::first;
use crate::compute::simd::lines::{LANES, Line};
use crate::compute::simd::register::Register;
use rayon::prelude::*;
use std::arch::x86_64::*;

/// Most rows of `x` and of `w` in a tile of `rows`, and rows in a tile of `columns` and `outer`.
const X_ROWS: usize = 6;
const W_ROWS: usize = 4;
/// Columns that are copied together.
const PANEL: usize = 64;
/// Blocks of `rows` that stay in the second-level cache: places along k, rows of x, rows of w a task works on.
const DEPTH: usize = 2048;
const BATCH: usize = 64;
const TASK: usize = 32;

/// `y[m, n] = sum_k x[m, k] w[n, k]`, or with |w|; `x` is M x K, `w` is N x K.
pub fn rows(x: &[f32], w: &[f32], k: usize, absolute: bool, y: &mut [f32]) {
    let (m, n) = (x.len() / k, w.len() / k);
    assert!(x.len() == m * k && w.len() == n * k && y.len() == m * n);
    let room = Shared::new(y);
    let (x_rows, w_rows) = match present() {
        Form::Avx2 => (4, 3),
        Form::Avx512 => (X_ROWS, W_ROWS),
    };
    (0..n.div_ceil(TASK)).into_par_iter().for_each(|task| {
        let mine = task * TASK..((task + 1) * TASK).min(n);
        for batch in (0..m).step_by(BATCH) {
            for depth in (0..k).step_by(DEPTH) {
                let size = (k - depth).min(DEPTH);
                for b in mine.clone().step_by(w_rows) {
                    for a in (batch..(batch + BATCH).min(m)).step_by(x_rows) {
                        let (ma, nb) = ((batch + BATCH).min(m).min(a + x_rows) - a, mine.end.min(b + w_rows) - b);
                        // SAFETY: the tile's rows lie inside x and w, its outputs belong to this task.
                        unsafe {
                            let (x, w) = (x.as_ptr().add(a * k + depth), w.as_ptr().add(b * k + depth));
                            let dots = dots_of((ma, nb), x, w, k, size, absolute);
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

/// The products of so many rows of x and of w, of `k` numbers `stride` apart.
///
/// # Safety
/// There are so many.
unsafe fn dots_of(size: (usize, usize), x: *const f32, w: *const f32, stride: usize, k: usize, absolute: bool) -> Dots {
    macro_rules! pick {
        ($register:ty, $($m:literal: $($n:literal)*),*) => {
            match size {
                $($(($m, $n) => run::<$register, Dots>(
                    #[inline(always)]
                    || dots::<$register, $m, $n>(x, w, stride, k, absolute),
                ),)*)*
                (m, n) => unreachable!("a tile of {m} by {n} rows"),
            }
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        match present() {
            Form::Avx512 => pick!(__m512, 1: 1 2 3 4, 2: 1 2 3 4, 3: 1 2 3 4, 4: 1 2 3 4, 5: 1 2 3 4, 6: 1 2 3 4),
            Form::Avx2 => pick!(__m256, 1: 1 2 3, 2: 1 2 3, 3: 1 2 3, 4: 1 2 3),
        }
    }
}

#[inline(always)]
unsafe fn dots<R: Register, const M: usize, const N: usize>(
    x: *const f32,
    w: *const f32,
    stride: usize,
    k: usize,
    absolute: bool,
) -> Dots {
    let mut out = [[0.0; W_ROWS]; X_ROWS];
    // SAFETY: inside the rows, beyond the last whole register by the mask.
    unsafe {
        let mut sums = [[R::zero(); N]; M];
        let bits = R::bits(if absolute { !(1 << 31) } else { !0 });
        for at in (0..k).step_by(R::LANES) {
            let mut ws = [R::zero(); N];
            for (j, own) in ws.iter_mut().enumerate() {
                *own = up_to::<R>(w.add(j * stride + at), k - at).and(bits);
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let row = up_to::<R>(x.add(i * stride + at), k - at);
                for j in 0..N {
                    sums[j] = row.fma(ws[j], sums[j]);
                }
            }
        }
        for i in 0..M {
            for j in 0..N {
                out[i][j] = sums[i][j].sum();
            }
        }
    }
    out
}

/// A register of numbers, or what is left of them, filled up with zeros.
#[inline(always)]
unsafe fn up_to<R: Register>(from: *const f32, left: usize) -> R {
    // SAFETY: the caller's promise.
    unsafe { if left < R::LANES { R::load_some(from, first(left)) } else { R::load(from) } }
}

/// `x[m, n] = sum_k y[m, k] w[k, n]`, or with |w|; `y` is M x K, `w` is K x N.
pub fn columns(y: &[f32], w: &[f32], n: usize, absolute: bool, x: &mut [f32]) {
    let k = w.len() / n;
    let m = y.len() / k;
    assert!(w.len() == n * k && y.len() == m * k && x.len() == m * n);
    // For each tile its rows' numbers side by side.
    let mut turned = vec![0.0; m * k];
    for (own, rows) in turned.chunks_mut(X_ROWS * k).zip(y.chunks(X_ROWS * k)) {
        let count = rows.len() / k;
        for (i, row) in rows.chunks(k).enumerate() {
            row.iter().enumerate().for_each(|(j, y)| own[j * count + i] = *y);
        }
    }
    let room = Shared::new(x);
    (0..n.div_ceil(PANEL)).into_par_iter().for_each_init(Vec::new, |panel, at| {
        let from = at * PANEL;
        copy_panel(w, n, from, absolute, panel);
        for (a, own) in (0..m).step_by(X_ROWS).zip(turned.chunks(X_ROWS * k)) {
            let rows = (m - a).min(X_ROWS);
            // SAFETY: the tile lies inside; these columns belong to this task.
            unsafe { tile_of(rows, None, Factors { a: own, stride: rows, panel }, &room, (a, from, n)) };
        }
    });
}

/// `dw[m, n] = sum_k y[k, m] x[k, n] + sign(w[m, n]) sum_k z[k, m] h[k, n]`: the gradient of W in `x W^T` and `h |W|^T`
/// together; `y`, `z` have rows of `m`, the others of `n`.
pub fn outer((y, x): (&[f32], &[f32]), (z, h): (&[f32], &[f32]), w: &[f32], m: usize, n: usize, dw: &mut [f32]) {
    assert!(w.len() == m * n && dw.len() == m * n);
    assert!(y.len() / m == x.len() / n && z.len() / m == h.len() / n);
    let room = Shared::new(dw);
    (0..n.div_ceil(PANEL)).into_par_iter().for_each_init(
        || (vec![], vec![]),
        |(xs, hs), at| {
            let from = at * PANEL;
            copy_panel(x, n, from, false, xs);
            copy_panel(h, n, from, false, hs);
            for a in (0..m).step_by(X_ROWS) {
                let signed = Factors { a: &z[a..], stride: m, panel: hs };
                let plain = Factors { a: &y[a..], stride: m, panel: xs };
                // SAFETY: the tile lies inside; these columns belong to this task.
                unsafe { tile_of((m - a).min(X_ROWS), Some((signed, w)), plain, &room, (a, from, n)) };
            }
        },
    );
}

/// Lines of a panel that a tile takes at a time.
fn lines() -> usize {
    match present() {
        Form::Avx2 => 1,
        Form::Avx512 => 4,
    }
}

/// 64 columns of a matrix with rows of `n`, as many side by side as a tile takes, the others behind; beyond the last column
/// zeros.
fn copy_panel(w: &[f32], n: usize, from: usize, absolute: bool, panel: &mut Vec<Line>) {
    let (k, lines) = (w.len() / n, lines());
    panel.clear();
    panel.resize(k * PANEL / LANES, Line::default());
    for (at, row) in w.chunks(n).enumerate() {
        for (j, part) in row[from..n.min(from + PANEL)].chunks(LANES).enumerate() {
            let line = &mut panel[(j / lines * k + at) * lines + j % lines].0[..part.len()];
            line.copy_from_slice(part);
            if absolute {
                line.iter_mut().for_each(|w| *w = w.abs());
            }
        }
    }
}

/// The factors of a tile: a's numbers by rows of k, their stride, and a panel.
#[derive(Clone, Copy)]
struct Factors<'a> {
    a: &'a [f32],
    stride: usize,
    panel: &'a [Line],
}

/// So many rows of `plain`'s product, plus `signed`'s times the sign of these; at (first row, first column, stride).
///
/// # Safety
/// Nobody else writes these rows' columns.
unsafe fn tile_of(
    rows: usize,
    signed: Option<(Factors, &[f32])>,
    plain: Factors,
    out: &Shared<f32>,
    at: (usize, usize, usize),
) {
    macro_rules! pick {
        ($register:ty, $registers:literal, $($m:literal)*) => {
            match rows {
                $($m => run::<$register, ()>(
                    #[inline(always)]
                    || tile::<$register, $m, $registers>(signed, plain, out, at),
                ),)*
                _ => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        match present() {
            Form::Avx512 => pick!(__m512, 4, 1 2 3 4 5 6),
            Form::Avx2 => pick!(__m256, 2, 1 2 3 4 5 6),
        }
    }
}

/// `M` rows, `NR` registers at a time.
#[inline(always)]
unsafe fn tile<R: Register, const M: usize, const NR: usize>(
    signed: Option<(Factors, &[f32])>,
    plain: Factors,
    out: &Shared<f32>,
    (row, column, n): (usize, usize, usize),
) {
    for (part, column) in (column..n.min(column + PANEL)).step_by(NR * R::LANES).enumerate() {
        let width = (n - column).min(NR * R::LANES);
        // SAFETY: these rows' columns, the caller's own, by the lanes.
        unsafe {
            let mut sums = [[R::zero(); NR]; M];
            if let Some((factors, w)) = signed {
                add_products::<R, M, NR>(factors, part, &mut sums);
                for (i, sums) in sums.iter_mut().enumerate() {
                    let w = &w[(row + i) * n + column..][..width];
                    for (sum, w) in sums.iter_mut().zip(w.chunks(R::LANES)) {
                        *sum = sum.signed(up_to(w.as_ptr(), w.len()));
                    }
                }
            }
            add_products::<R, M, NR>(plain, part, &mut sums);
            for (i, sums) in sums.iter().enumerate() {
                let to = out.part((row + i) * n + column, width);
                for (sum, to) in sums.iter().zip(to.chunks_mut(R::LANES)) {
                    sum.store_some(to.as_mut_ptr(), first(to.len()));
                }
            }
        }
    }
}

/// Adds the products of `M` rows and one part of the panel.
#[inline(always)]
unsafe fn add_products<R: Register, const M: usize, const NR: usize>(
    Factors { a, stride, panel }: Factors,
    part: usize,
    sums: &mut [[R; NR]; M],
) {
    let k = panel.len() * LANES / PANEL;
    assert!(k == 0 || a.len() >= (k - 1) * stride + M);
    let panel = &panel[part * k * NR / R::PARTS..];
    // SAFETY: a part of the panel has k times `NR` registers; the numbers of `a` lie inside, asserted above.
    unsafe {
        for at in 0..k {
            let mut own = [R::zero(); NR];
            for (j, own) in own.iter_mut().enumerate() {
                *own = R::load(panel.as_ptr().cast::<f32>().add((at * NR + j) * R::LANES));
            }
            let a = a.as_ptr().add(at * stride);
            for (i, sums) in sums.iter_mut().enumerate() {
                let value = R::broadcast(a.add(i));
                for j in 0..NR {
                    sums[j] = value.fma(own[j], sums[j]);
                }
            }
        }
    }
}
