//! The register tiles: 2 x 16 output channels by up to 14 neighbouring outputs, all taps and input channels summed in
//! registers. Weights are loaded as whole registers, inputs broadcast.
//!
//! One macro makes them for f32 (one channel a step, `vfmadd`) and bf16 (a pair of channels a step, `vdpbf16ps`, summed
//! in f32). Each width is a function of its own and never inlined, so that each gets a clean register allocation.

use super::layout::{HalfLine, LANES, Line};
use std::arch::x86_64::*;

/// Widest tile: 2 x 14 sums, two weights and a broadcast leave one register of 32.
pub const WIDEST: usize = 14;

/// One tile: where it reads and writes. Offsets into the input count its words: f32, or pairs of bf16.
pub struct Tile<'a> {
    /// Input of the first output for the first tap at (0, 0).
    pub x: *const f32,
    /// Words from one input block to the next.
    pub x_block: usize,
    /// Steps (channels or pairs of them) of each input block.
    pub steps: &'a [usize],
    /// Words from `x` to each tap's input.
    pub taps: &'a [usize],
    /// Weights: for each block, tap and step the outputs' registers.
    pub w: *const f32,
    /// Where the sums begin: at those of earlier input blocks in `y`, else at the bias, else (null) at zero.
    pub resume: bool,
    pub bias: *const f32,
    /// More input blocks follow: leave the bare sums in `y`.
    pub pause: bool,
    /// The first output, a line; lines from one output block to the next, and from one output to the next.
    pub y: *mut u8,
    pub y_block: usize,
    pub y_step: usize,
    pub scale: f32,
    /// The first output's u16, others as in `y`; null: everything is kept.
    pub mask: *const u16,
}

/// Words in a line of f32, and of bf16 in pairs.
pub const WORDS_F32: usize = LANES;
pub const WORDS_BF16: usize = LANES / 2;

macro_rules! tile {
    ($name:ident, $tile:ident, $line:ty, $words:expr, $features:literal, $multiply:expr, $resume:expr, $store:expr) => {
        /// One tile of `NO` blocks and `width` outputs, `SI` apart in the input. Returns the sum of squares of what was
        /// written, 0 if more input blocks follow.
        ///
        /// # Safety
        /// All places that the tile names lie in live memory of the right size, `width` is 1 to [`WIDEST`], and the
        /// processor has the features.
        #[target_feature(enable = $features)]
        pub unsafe fn $name<const NO: usize, const SI: usize>(t: &Tile, width: usize) -> f32 {
            // SAFETY: the caller's promise, handed on.
            unsafe {
                match width {
                    1 => $tile::<NO, 1, SI>(t),
                    2 => $tile::<NO, 2, SI>(t),
                    3 => $tile::<NO, 3, SI>(t),
                    4 => $tile::<NO, 4, SI>(t),
                    5 => $tile::<NO, 5, SI>(t),
                    6 => $tile::<NO, 6, SI>(t),
                    7 => $tile::<NO, 7, SI>(t),
                    8 => $tile::<NO, 8, SI>(t),
                    9 => $tile::<NO, 9, SI>(t),
                    10 => $tile::<NO, 10, SI>(t),
                    11 => $tile::<NO, 11, SI>(t),
                    12 => $tile::<NO, 12, SI>(t),
                    13 => $tile::<NO, 13, SI>(t),
                    _ => $tile::<NO, 14, SI>(t),
                }
            }
        }

        #[inline(never)]
        #[target_feature(enable = $features)]
        unsafe fn $tile<const NO: usize, const NX: usize, const SI: usize>(t: &Tile) -> f32 {
            let mut sums = [[_mm512_setzero_ps(); NX]; NO];
            let y = t.y.cast::<$line>();
            // SAFETY: see the public function.
            unsafe {
                for (o, sums) in sums.iter_mut().enumerate() {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        if t.resume {
                            *sum = $resume(y.add(o * t.y_block + j * t.y_step));
                        } else if !t.bias.is_null() {
                            *sum = _mm512_loadu_ps(t.bias.add(o * LANES));
                        }
                    }
                }
                let mut w = t.w;
                for (block, steps) in t.steps.iter().enumerate() {
                    for tap in t.taps {
                        let mut x = t.x.add(block * t.x_block + tap);
                        for _ in 0..*steps {
                            let mut weights = [_mm512_setzero_ps(); NO];
                            for (o, weight) in weights.iter_mut().enumerate() {
                                *weight = _mm512_loadu_ps(w.add(o * LANES));
                            }
                            for j in 0..NX {
                                let input = _mm512_set1_ps(*x.add(j * SI * $words));
                                for o in 0..NO {
                                    sums[o][j] = $multiply(sums[o][j], weights[o], input);
                                }
                            }
                            w = w.add(NO * LANES);
                            x = x.add(1);
                        }
                    }
                }
                if t.pause {
                    for (o, sums) in sums.iter().enumerate() {
                        for (j, sum) in sums.iter().enumerate() {
                            _mm512_storeu_ps(y.add(o * t.y_block + j * t.y_step).cast(), *sum);
                        }
                    }
                    return 0.0;
                }
                let scale = _mm512_set1_ps(t.scale);
                let mut squares = _mm512_setzero_ps();
                for (o, sums) in sums.iter().enumerate() {
                    for (j, sum) in sums.iter().enumerate() {
                        let at = o * t.y_block + j * t.y_step;
                        let keep = if t.mask.is_null() { !0 } else { *t.mask.add(at) };
                        let value = _mm512_maskz_mul_ps(keep, *sum, scale);
                        squares = _mm512_fmadd_ps(value, value, squares);
                        $store(y.add(at), value);
                    }
                }
                _mm512_reduce_add_ps(squares)
            }
        }
    };
}

tile!(
    f32_tile,
    f32_tile_of,
    Line,
    WORDS_F32,
    "avx512f",
    |sum, w, x| _mm512_fmadd_ps(w, x, sum),
    |y: *mut Line| _mm512_loadu_ps(y.cast()),
    |y: *mut Line, value| _mm512_storeu_ps(y.cast(), value)
);

tile!(
    bf16_tile,
    bf16_tile_of,
    HalfLine,
    WORDS_BF16,
    "avx512f,avx512bf16",
    |sum, w, x| _mm512_dpbf16_ps(sum, bits(w), bits(x)),
    |_: *mut HalfLine| _mm512_setzero_ps(),
    |y: *mut HalfLine, value| y.cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(value))
);

/// The same bits as pairs of bf16.
#[inline]
#[target_feature(enable = "avx512f")]
fn bits(pairs: __m512) -> __m512bh {
    // SAFETY: two register types of 512 bits each.
    unsafe { std::mem::transmute(pairs) }
}
