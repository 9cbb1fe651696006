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

use super::super::elementwise::Shared;
use super::form::{Form, present, run};
use super::register::{Register, first};
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
            unsafe { tile_of((m - a).min(X_ROWS), &turned[a..], m, panel, Start::Zero, &room, (a, from, n)) };
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
                let rows = (m - a).min(X_ROWS);
                // SAFETY: the tile lies inside; these columns belong to this task.
                unsafe {
                    tile_of(rows, &z[a..], m, hs, Start::Zero, &room, (a, from, n));
                    tile_of(rows, &y[a..], m, xs, Start::Signed(w), &room, (a, from, n));
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

/// So many rows: a's numbers by rows of k, their stride, panel, start, output, (first row, first column, stride).
///
/// # Safety
/// Nobody else writes these rows' columns.
unsafe fn tile_of(
    rows: usize,
    a: &[f32],
    stride: usize,
    panel: &[[f32; PANEL]],
    start: Start,
    out: &Shared<f32>,
    (row, column, n): (usize, usize, usize),
) {
    macro_rules! pick {
        ($register:ty, $registers:literal, $($m:literal)*) => {
            match rows {
                $($m => run::<$register, ()>(
                    #[inline(always)]
                    || tile::<$register, $m, $registers>(a, stride, panel, start, out, (row, column, n)),
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

/// `M` rows, `NR` registers of the panel at a time.
#[inline(always)]
unsafe fn tile<R: Register, const M: usize, const NR: usize>(
    a: &[f32],
    stride: usize,
    panel: &[[f32; PANEL]],
    start: Start,
    out: &Shared<f32>,
    (row, column, n): (usize, usize, usize),
) {
    let k = panel.len();
    assert!(k == 0 || a.len() >= (k - 1) * stride + M);
    for (part, column) in (column..n.min(column + PANEL)).step_by(NR * R::LANES).enumerate() {
        let width = (n - column).min(NR * R::LANES);
        // SAFETY: these rows' columns, the caller's own, by the lanes; a line of the panel is whole; the numbers of `a` lie
        // inside, asserted above.
        unsafe {
            let mut sums = [[R::zero(); NR]; M];
            if let Start::Signed(w) = start {
                for (i, sums) in sums.iter_mut().enumerate() {
                    let before = out.part((row + i) * n + column, width).as_ptr();
                    let w = w[(row + i) * n + column..][..width].as_ptr();
                    for (j, sum) in sums.iter_mut().enumerate().filter(|(j, _)| j * R::LANES < width) {
                        let at = j * R::LANES;
                        let (old, w) = (up_to::<R>(before.add(at), width - at), up_to::<R>(w.add(at), width - at));
                        *sum = old.signed(w);
                    }
                }
            }
            for (at, line) in panel.iter().enumerate() {
                let mut own = [R::zero(); NR];
                for (j, own) in own.iter_mut().enumerate() {
                    *own = R::load(line.as_ptr().add((part * NR + j) * R::LANES));
                }
                let a = a.as_ptr().add(at * stride);
                for (i, sums) in sums.iter_mut().enumerate() {
                    let value = R::broadcast(a.add(i));
                    for j in 0..NR {
                        sums[j] = value.fma(own[j], sums[j]);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                let to = out.part((row + i) * n + column, width).as_mut_ptr();
                for (j, sum) in sums.iter().enumerate().filter(|(j, _)| j * R::LANES < width) {
                    sum.store_some(to.add(j * R::LANES), first(width - j * R::LANES));
                }
            }
        }
    }
}
