//! The kernel's gradient on blocked pictures
//!
//! ```text
//! dw[o, i, k] += sum over places p of  y[o, p] x[i, stride p + k - padding]
//! ```
//!
//! 2 x 16 output channels by one row of the kernel by a few input channels are summed in registers over a band of rows that
//! stays in the first-level cache, then added to the sums of the batch.

use super::super::conv::Geometry;
use super::layout::{Blocked, LANES, Line};
use rayon::prelude::*;
use std::arch::x86_64::*;

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
        assert!(self.g.kernel.1 <= WIDEST && super::available());
        let (oh, ow) = self.g.output;
        let band = (BAND / ow).max(1);
        for top in (0..oh).step_by(band) {
            let rows = top..(top + band).min(oh);
            for pair in (0..self.y.blocks()).step_by(2) {
                let two = self.y.blocks() - pair >= 2;
                // SAFETY: the processor has AVX-512F, asserted above; the sizes fit the geometry, as `Blocked` makes them.
                unsafe {
                    match (two, self.g.kernel.1) {
                        (true, 1) => self.pair::<2, 1, 8>(pair, rows.clone(), x, y),
                        (true, 2) => self.pair::<2, 2, 4>(pair, rows.clone(), x, y),
                        (true, 3) => self.pair::<2, 3, 4>(pair, rows.clone(), x, y),
                        (true, 4) => self.pair::<2, 4, 2>(pair, rows.clone(), x, y),
                        (true, 5) => self.pair::<2, 5, 2>(pair, rows.clone(), x, y),
                        (true, 6) => self.pair::<2, 6, 2>(pair, rows.clone(), x, y),
                        (true, _) => self.pair::<2, 7, 2>(pair, rows.clone(), x, y),
                        (false, 1) => self.pair::<1, 1, 8>(pair, rows.clone(), x, y),
                        (false, 2) => self.pair::<1, 2, 8>(pair, rows.clone(), x, y),
                        (false, 3) => self.pair::<1, 3, 8>(pair, rows.clone(), x, y),
                        (false, 4) => self.pair::<1, 4, 4>(pair, rows.clone(), x, y),
                        (false, 5) => self.pair::<1, 5, 4>(pair, rows.clone(), x, y),
                        (false, 6) => self.pair::<1, 6, 4>(pair, rows.clone(), x, y),
                        (false, _) => self.pair::<1, 7, 4>(pair, rows.clone(), x, y),
                    }
                }
            }
        }
    }

    /// A band of rows: `NO` output blocks, all of a kernel row's `KW` columns, `NC` input channels at a time.
    #[target_feature(enable = "avx512f")]
    unsafe fn pair<const NO: usize, const KW: usize, const NC: usize>(
        &mut self,
        pair: usize,
        rows: std::ops::Range<usize>,
        x: &[Line],
        y: &[Line],
    ) {
        for block in 0..self.x.blocks() {
            let channels = (self.x.channels - block * LANES).min(LANES);
            for ky in 0..self.g.kernel.0 {
                for c in (0..channels).step_by(NC) {
                    // SAFETY: the caller's promise.
                    unsafe { self.band::<NO, KW, NC>(pair, block, ky, c, rows.clone(), x, y) };
                }
            }
        }
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    #[expect(clippy::too_many_arguments, reason = "the place of one tile in seven loops")]
    #[expect(clippy::needless_range_loop, reason = "constant bounds, so that all sums stay in registers")]
    unsafe fn band<const NO: usize, const KW: usize, const NC: usize>(
        &mut self,
        pair: usize,
        block: usize,
        ky: usize,
        c: usize,
        rows: std::ops::Range<usize>,
        x: &[Line],
        y: &[Line],
    ) {
        let (s, width) = (self.g.window.stride, self.g.output.1);
        let y_block = self.y.rows * self.y.columns * LANES;
        let mut sums = [[[_mm512_setzero_ps(); NC]; KW]; NO];
        // SAFETY: rows of outputs and their inputs, bordered as the geometry asks.
        unsafe {
            for row in rows {
                let corner = (block * self.x.rows + row * s + ky) * self.x.columns;
                let mut xs = x.as_ptr().add(corner).cast::<f32>().add(c);
                let mut ys = y.as_ptr().add(self.y.at(pair, row, 0)).cast::<f32>();
                for _ in 0..width {
                    let mut outs = [_mm512_setzero_ps(); NO];
                    for (o, out) in outs.iter_mut().enumerate() {
                        *out = _mm512_loadu_ps(ys.add(o * y_block));
                    }
                    for kx in 0..KW {
                        for i in 0..NC {
                            let input = broadcast(xs.add(kx * LANES + i));
                            for o in 0..NO {
                                sums[o][kx][i] = _mm512_fmadd_ps(outs[o], input, sums[o][kx][i]);
                            }
                        }
                    }
                    xs = xs.add(s * LANES);
                    ys = ys.add(LANES);
                }
            }
            let first = ((((pair / 2) * self.x.blocks() + block) * self.g.kernel.0 + ky) * KW * LANES + c) * 2;
            let to = self.sums.as_mut_ptr().add(first).cast::<f32>();
            for (o, sums) in sums.iter().enumerate() {
                for (kx, sums) in sums.iter().enumerate() {
                    for (i, sum) in sums.iter().enumerate() {
                        let at = to.add(((kx * LANES + i) * 2 + o) * LANES);
                        _mm512_storeu_ps(at, _mm512_add_ps(_mm512_loadu_ps(at), *sum));
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

/// A broadcast that stays one load. From the plain intrinsic LLVM merges neighbouring numbers into one load and shuffles,
/// and shuffles take the port of every second multiply-add.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn broadcast(p: *const f32) -> __m512 {
    let all: __m512;
    // SAFETY: reads the one number behind `p`, which the caller vouches for.
    unsafe {
        std::arch::asm!("vbroadcastss {all}, dword ptr [{p}]", all = out(zmm_reg) all, p = in(reg) p,
            options(pure, readonly, nostack, preserves_flags));
    }
    all
}
