//! The register tiles: 16 or 2 x 16 output channels by a few neighbouring outputs, all taps and input channels summed in
//! registers. Weights are loaded as whole registers, inputs broadcast.
//!
//! One function makes them for f32 (one channel a step, a multiply-add) and bf16 (a pair of channels a step, `vdpbf16ps`,
//! summed in f32). Each width is a function of its own and never inlined, so that each gets a clean register allocation.

use crate::compute::simd::dispatch::run;
use crate::compute::simd::form::{Form, present};
use crate::compute::simd::lines::{HalfLine, LANES, Line};
use crate::compute::simd::register::Register;
use std::arch::x86_64::*;

/// The largest tile of a form: output blocks by neighbouring outputs.
#[derive(Clone, Copy)]
pub struct Largest {
    pub blocks: usize,
    pub width: usize,
}

/// Of 32 registers 2 x 14 sums, two weights and a broadcast leave one.
pub const WITH_32: Largest = Largest { blocks: 2, width: 14 };
/// Of 16 registers 2 x 6 sums, two weights (a block of half registers) and a broadcast leave one.
pub const WITH_16: Largest = Largest { blocks: 1, width: 6 };

pub fn largest(form: Form) -> Largest {
    match form {
        Form::Avx2 => WITH_16,
        Form::Avx512 => WITH_32,
    }
}

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

/// A number format, as registers of `R` multiply it.
trait Number<R: Register> {
    const WORDS: usize;
    /// `sum + w x`, lane by lane.
    ///
    /// # Safety
    /// As for [`Register`], here and below.
    unsafe fn multiply(sum: R, w: R, x: R) -> R;
    /// What was left in one part of a line.
    unsafe fn resume(line: *const Self, part: usize) -> R;
    unsafe fn store(line: *mut Self, part: usize, value: R);
}

impl<R: Register> Number<R> for Line {
    const WORDS: usize = WORDS_F32;

    #[inline(always)]
    unsafe fn multiply(sum: R, w: R, x: R) -> R {
        // SAFETY: the caller's promise, here and below.
        unsafe { w.fma(x, sum) }
    }

    #[inline(always)]
    unsafe fn resume(line: *const Self, part: usize) -> R {
        // SAFETY: as above.
        unsafe { R::load(line.cast::<f32>().add(part * R::LANES)) }
    }

    #[inline(always)]
    unsafe fn store(line: *mut Self, part: usize, value: R) {
        // SAFETY: as above.
        unsafe { value.store(line.cast::<f32>().add(part * R::LANES)) }
    }
}

impl Number<__m512> for HalfLine {
    const WORDS: usize = WORDS_BF16;

    #[inline(always)]
    unsafe fn multiply(sum: __m512, w: __m512, x: __m512) -> __m512 {
        // SAFETY: the same bits as pairs of bf16; the caller's promise, here and below.
        unsafe {
            let [w, x] = std::mem::transmute::<[__m512; 2], [__m512bh; 2]>([w, x]);
            _mm512_dpbf16_ps(sum, w, x)
        }
    }

    /// There is no room for sums in a line of bf16; nothing is left there.
    #[inline(always)]
    unsafe fn resume(_: *const Self, _: usize) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn store(line: *mut Self, _: usize, value: __m512) {
        // SAFETY: as above.
        unsafe { line.cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(value)) }
    }
}

/// `enter!` a tile of so many blocks and outputs, `step` apart in the input, each from a function of its own.
macro_rules! pick {
    ($enter:ident, $register:ty, $line:ty, $tile:ident, $size:expr, $($blocks:literal: $($width:literal)*),*) => {
        match $size {
            $($(
                ($blocks, 1, $width) => $enter!($register, $line, $tile, $blocks, $width, 1),
                ($blocks, 2, $width) => $enter!($register, $line, $tile, $blocks, $width, 2),
            )*)*
            (blocks, step, width) => unreachable!("a tile of {blocks} blocks by {width} outputs, {step} apart"),
        }
    };
}

macro_rules! in_f32 {
    ($register:ty, $line:ty, $tile:ident, $blocks:literal, $width:literal, $step:literal) => {
        run::<$register, f32>(
            #[inline(always)]
            || tile::<$register, $line, { $blocks * <$register>::PARTS }, $width, $step>($tile),
        )
    };
}

/// One tile of `blocks` and `width` outputs, `step` apart in the input. Returns the sum of squares of what was written, 0 if
/// more input blocks follow.
///
/// # Safety
/// All places that the tile names lie in live memory of the right size.
pub unsafe fn f32_tile(t: &Tile, blocks: usize, step: usize, width: usize) -> f32 {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        match present() {
            Form::Avx512 => pick!(in_f32, __m512, Line, t, (blocks, step, width),
                1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            Form::Avx2 => pick!(in_f32, __m256, Line, t, (blocks, step, width), 1: 1 2 3 4 5 6),
        }
    }
}

macro_rules! in_bf16 {
    ($register:ty, $line:ty, $tile:ident, $blocks:literal, $width:literal, $step:literal) => {
        enter_bf16(
            #[inline(always)]
            || tile::<$register, $line, $blocks, $width, $step>($tile),
        )
    };
}

/// The same in bf16.
///
/// # Safety
/// As above, and the processor has AVX512-BF16.
pub unsafe fn bf16_tile(t: &Tile, blocks: usize, step: usize, width: usize) -> f32 {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        pick!(in_bf16, __m512, HalfLine, t, (blocks, step, width),
            1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14, 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    }
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn enter_bf16(work: impl FnOnce() -> f32) -> f32 {
    work()
}

/// `NO` registers of output channels, `NX` outputs, `SI` apart in the input.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "constant bounds, so that all sums stay in registers")]
unsafe fn tile<R: Register, N: Number<R>, const NO: usize, const NX: usize, const SI: usize>(t: &Tile) -> f32 {
    let y = t.y.cast::<N>();
    let at = |o: usize, j: usize| o / R::PARTS * t.y_block + j * t.y_step;
    // SAFETY: see the public functions.
    unsafe {
        let mut sums = [[R::zero(); NX]; NO];
        for (o, sums) in sums.iter_mut().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                if t.resume {
                    *sum = N::resume(y.add(at(o, j)), o % R::PARTS);
                } else if !t.bias.is_null() {
                    *sum = R::load(t.bias.add(o * R::LANES));
                }
            }
        }
        let mut w = t.w;
        for (block, steps) in t.steps.iter().enumerate() {
            for tap in t.taps {
                let mut x = t.x.add(block * t.x_block + tap);
                for _ in 0..*steps {
                    let mut weights = [R::zero(); NO];
                    for (o, weight) in weights.iter_mut().enumerate() {
                        *weight = R::load(w.add(o * R::LANES));
                    }
                    for j in 0..NX {
                        let input = R::all(*x.add(j * SI * N::WORDS));
                        for o in 0..NO {
                            sums[o][j] = N::multiply(sums[o][j], weights[o], input);
                        }
                    }
                    w = w.add(NO * R::LANES);
                    x = x.add(1);
                }
            }
        }
        if t.pause {
            for (o, sums) in sums.iter().enumerate() {
                for (j, sum) in sums.iter().enumerate() {
                    sum.store(y.add(at(o, j)).cast::<f32>().add(o % R::PARTS * R::LANES));
                }
            }
            return 0.0;
        }
        let scale = R::all(t.scale);
        let mut squares = R::zero();
        for (o, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                let (line, part) = (at(o, j), o % R::PARTS);
                let keep = if t.mask.is_null() { !0 } else { *t.mask.add(line) };
                let value = sum.mul(scale).keep(keep >> (part * R::LANES));
                squares = value.fma(value, squares);
                N::store(y.add(line), part, value);
            }
        }
        squares.sum()
    }
}
