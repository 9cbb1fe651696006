//! Passes over blocked pictures that are no convolution: masks, norms, distances, rounding to bf16 and back
//!
//! Borders are zero and stay so.

use crate::compute::simd::dispatch::{by_form, run};
use crate::compute::simd::lines::{HalfLine, LANES, Line};
use crate::compute::simd::register::Register;
use std::arch::x86_64::*;

/// Lines whose squares are summed in f32 before they go on in f64.
const BAND: usize = 64;

/// Sets to zero what the mask drops.
pub fn keep(lines: &mut [Line], mask: &[u16]) {
    for (line, bits) in lines.iter_mut().zip(mask) {
        for (lane, x) in line.0.iter_mut().enumerate() {
            *x = if bits >> lane & 1 == 0 { 0.0 } else { *x };
        }
    }
}

/// The sum of squares.
pub fn squares(lines: &[Line]) -> f64 {
    by_form!(R => run::<R, f64>(
        #[inline(always)]
        || squares_in::<R>(lines),
    ))
}

#[inline(always)]
fn squares_in<R: Register>(lines: &[Line]) -> f64 {
    let mut all = 0.0;
    for band in lines.chunks(BAND) {
        // SAFETY: within `run`; a line is a whole number of registers.
        all += f64::from(unsafe {
            let mut sum = R::zero();
            for line in band {
                for part in 0..R::PARTS {
                    let x = R::load(line.0.as_ptr().add(part * R::LANES));
                    sum = x.fma(x, sum);
                }
            }
            sum.sum()
        });
    }
    all
}

/// `|| p a - q b ||`.
pub fn distance(a: &[Line], p: f32, b: &[Line], q: f32) -> f64 {
    by_form!(R => run::<R, f64>(
        #[inline(always)]
        || distance_in::<R>(a, p, b, q),
    ))
}

#[inline(always)]
fn distance_in<R: Register>(a: &[Line], p: f32, b: &[Line], q: f32) -> f64 {
    let mut all = 0.0;
    for (a, b) in a.chunks(BAND).zip(b.chunks(BAND)) {
        // SAFETY: as above.
        all += f64::from(unsafe {
            let (p, q, mut sum) = (R::all(p), R::all(q), R::zero());
            for (a, b) in a.iter().zip(b) {
                for part in 0..R::PARTS {
                    let at = part * R::LANES;
                    let (a, b) = (R::load(a.0.as_ptr().add(at)), R::load(b.0.as_ptr().add(at)));
                    let d = a.mul(p).sub(b.mul(q));
                    sum = d.fma(d, sum);
                }
            }
            sum.sum()
        });
    }
    all.sqrt()
}

/// Rounded to bf16.
///
/// # Safety
/// The processor has AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub unsafe fn to_half(lines: &[Line], halves: &mut [HalfLine]) {
    for (line, out) in lines.iter().zip(halves) {
        // SAFETY: a line is one aligned register, a line of bf16 half of one.
        unsafe {
            let half = _mm512_cvtneps_pbh(_mm512_load_ps(line.0.as_ptr()));
            std::ptr::from_mut(out).cast::<__m256bh>().write_unaligned(half);
        }
    }
}

/// Back to f32, exactly.
pub fn from_half(halves: &[HalfLine], lines: &mut [Line]) {
    for (half, line) in halves.iter().zip(lines) {
        *line = Line(half.0.map(|bits| f32::from_bits(u32::from(bits) << 16)));
    }
}

/// The same memory as plain numbers.
pub fn as_numbers(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: a line is 16 numbers, no more.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}

/// The same memory as lines of bf16, two for each.
pub fn as_halves(lines: &mut [Line]) -> &mut [HalfLine] {
    const { assert!(size_of::<Line>() == 2 * size_of::<HalfLine>() && size_of::<HalfLine>() == 2 * LANES) };
    // SAFETY: plain numbers, of sizes and alignments that fit.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 2) }
}
