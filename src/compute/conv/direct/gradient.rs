//! The kernel's gradient on blocked pictures
//!
//! ```text
//! dw[o, i, k] += sum over places p of  y[o, p] x[i, stride p + k - padding]
//! ```
//!
//! 16 or 2 x 16 output channels by one row of the kernel by a few input channels are summed in registers over a band of rows
//! that stays in the first-level cache, then added to the sums of the batch.

use super::blocked::Blocked;
use crate::compute::conv::Geometry;
use crate::compute::simd::dispatch::run;
use crate::compute::simd::form::{Form, present};
use crate::compute::simd::lines::{LANES, Line};
use crate::compute::simd::register::Register;
use rayon::prelude::*;
use std::arch::x86_64::*;
use std::ops::Range;

/// Widest kernel that has its own tile.
pub const WIDEST: usize = 7;
/// Output places of a band.
const BAND: usize = 128;

/// Sums of one or more pictures' gradients, in the order in which the tiles write them:
/// `[pair of output blocks][input block][ky][kx][channel][2]`.
pub struct Gradient {
    g: Geometry,
    x: Blocked,
    y: Blocked,
    sums: Vec<Line>,
}

impl Gradient {
    pub fn new(g: &Geometry) -> Self {
        let (x, y) = (Blocked::input(g), Blocked::output(g));
        let lines = y.blocks().div_ceil(2) * x.blocks() * g.kernel.0 * g.kernel.1 * LANES * 2;
        Self { g: *g, x, y, sums: vec![Line::default(); lines] }
    }

    /// Adds the gradient of one picture, `x` and `y` in blocked form.
    pub fn add(&mut self, x: &[Line], y: &[Line]) {
        assert!(x.len() >= self.x.lines() && y.len() >= self.y.lines(), "buffers of the wrong size");
        assert!(self.g.kernel.1 <= WIDEST);
        let (oh, ow) = self.g.output;
        let band = (BAND / ow).max(1);
        let together = match present() {
            Form::Avx2 => 1,
            Form::Avx512 => 2,
        };
        for top in (0..oh).step_by(band) {
            let rows = top..(top + band).min(oh);
            for out in (0..self.y.blocks()).step_by(together) {
                let two = together == 2 && self.y.blocks() - out >= 2;
                // SAFETY: the sizes fit the geometry, as `Blocked` makes them.
                unsafe { self.blocks(two, out, &rows, x, y) };
            }
        }
    }

    /// One or two output blocks in a band of rows: all of a kernel row's columns, and as many input channels at a time as
    /// leave their sums in registers.
    ///
    /// # Safety
    /// `x` and `y` have the sizes of the geometry.
    unsafe fn blocks(&mut self, two: bool, out: usize, rows: &Range<usize>, x: &[Line], y: &[Line]) {
        macro_rules! pick {
            ($register:ty, $size:expr, $($two:literal: $($columns:literal x $channels:literal)*),*) => {
                match $size {
                    $($(($two, $columns) => self.each::<$channels>(
                        #[inline(always)]
                        |all, at| run::<$register, ()>(
                            #[inline(always)]
                            || all.band::<$register, { (1 + $two as usize) * <$register>::PARTS }, $columns, $channels>(
                                out, at, rows.clone(), x, y)
                        ),
                    ),)*)*
                    (_, columns) => unreachable!("a kernel {columns} wide"),
                }
            };
        }
        // SAFETY: the caller's promise.
        unsafe {
            match present() {
                Form::Avx512 => pick!(__m512, (two, self.g.kernel.1),
                    true: 1 x 8 2 x 4 3 x 4 4 x 2 5 x 2 6 x 2 7 x 2, false: 1 x 8 2 x 8 3 x 8 4 x 4 5 x 4 6 x 4 7 x 4),
                Form::Avx2 => pick!(__m256, (two, self.g.kernel.1), false: 1 x 4 2 x 2 3 x 2 4 x 1 5 x 1 6 x 1 7 x 1),
            }
        }
    }

    /// Calls `work` with (input block, row of the kernel, first of `NC` channels).
    #[inline(always)]
    fn each<const NC: usize>(&mut self, work: impl Fn(&mut Self, (usize, usize, usize))) {
        for block in 0..self.x.blocks() {
            let channels = (self.x.channels - block * LANES).min(LANES);
            for ky in 0..self.g.kernel.0 {
                for c in (0..channels).step_by(NC) {
                    work(self, (block, ky, c));
                }
            }
        }
    }

    /// A band of rows: `NO` registers of output channels, all of a kernel row's `KW` columns, `NC` input channels.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "constant bounds, so that all sums stay in registers")]
    unsafe fn band<R: Register, const NO: usize, const KW: usize, const NC: usize>(
        &mut self,
        out: usize,
        (block, ky, c): (usize, usize, usize),
        rows: Range<usize>,
        x: &[Line],
        y: &[Line],
    ) {
        let (s, width) = (self.g.window.stride, self.g.output.1);
        let y_block = self.y.rows * self.y.columns * LANES;
        // SAFETY: rows of outputs and their inputs, bordered as the geometry asks.
        unsafe {
            let mut sums = [[[R::zero(); NC]; KW]; NO];
            for row in rows {
                let corner = (block * self.x.rows + row * s + ky) * self.x.columns;
                let mut xs = x.as_ptr().add(corner).cast::<f32>().add(c);
                let mut ys = y.as_ptr().add(self.y.at(out, row, 0)).cast::<f32>();
                for _ in 0..width {
                    let mut outs = [R::zero(); NO];
                    for (o, out) in outs.iter_mut().enumerate() {
                        *out = R::load(ys.add(o / R::PARTS * y_block + o % R::PARTS * R::LANES));
                    }
                    for kx in 0..KW {
                        for i in 0..NC {
                            let input = R::broadcast(xs.add(kx * LANES + i));
                            for o in 0..NO {
                                sums[o][kx][i] = outs[o].fma(input, sums[o][kx][i]);
                            }
                        }
                    }
                    xs = xs.add(s * LANES);
                    ys = ys.add(LANES);
                }
            }
            let first = ((((out / 2) * self.x.blocks() + block) * self.g.kernel.0 + ky) * KW * LANES + c) * 2 + out % 2;
            let to = self.sums.as_mut_ptr().add(first).cast::<f32>();
            for (o, sums) in sums.iter().enumerate() {
                for (kx, sums) in sums.iter().enumerate() {
                    for (i, sum) in sums.iter().enumerate() {
                        let at = to.add((kx * LANES + i) * 2 * LANES + o * R::LANES);
                        R::load(at).add(*sum).store(at);
                    }
                }
            }
        }
    }

    /// Adds another's sums.
    pub fn merge(&mut self, other: &Self) {
        self.sums.par_chunks_mut(1 << 10).zip(other.sums.par_chunks(1 << 10)).for_each(|(own, other)| {
            for (own, other) in own.iter_mut().zip(other) {
                own.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own += other);
            }
        });
    }

    /// Adds the sums to `w` `[O, I, KH, KW]`, each times the sign of `like` where that is given.
    pub fn add_to(&self, w: &mut [f32], sign_of: Option<&[f32]>) {
        let (kh, kw) = self.g.kernel;
        let per_output = self.g.channels_in * kh * kw;
        w.par_chunks_mut(per_output).enumerate().for_each(|(o, w)| {
            for i in 0..self.g.channels_in {
                for tap in 0..kh * kw {
                    let pair = (o / LANES / 2 * self.x.blocks() + i / LANES) * kh * kw + tap;
                    let sum = self.sums[(pair * LANES + i % LANES) * 2 + o / LANES % 2].0[o % LANES];
                    let at = i * kh * kw + tap;
                    w[at] += match sign_of.map(|like| like[o * per_output + at]) {
                        None => sum,
                        Some(like) if like > 0.0 => sum,
                        Some(like) if like < 0.0 => -sum,
                        Some(_) => 0.0,
                    };
                }
            }
        });
    }
}
