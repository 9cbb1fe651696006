//! Passes over blocked pictures that are no convolution: masks, norms, distances, rounding to bf16 and back
//!
//! Borders are zero and stay so.

use super::layout::{HalfLine, LANES, Line};
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
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub unsafe fn squares(lines: &[Line]) -> f64 {
    let band = |lines: &[Line]| {
        let mut sum = _mm512_setzero_ps();
        for line in lines {
            // SAFETY: a line is one aligned register.
            let x = unsafe { _mm512_load_ps(line.0.as_ptr()) };
            sum = _mm512_fmadd_ps(x, x, sum);
        }
        f64::from(_mm512_reduce_add_ps(sum))
    };
    lines.chunks(BAND).map(band).sum()
}

/// `|| p a - q b ||`.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub unsafe fn distance(a: &[Line], p: f32, b: &[Line], q: f32) -> f64 {
    let (p, q) = (_mm512_set1_ps(p), _mm512_set1_ps(q));
    let band = |(a, b): (&[Line], &[Line])| {
        let mut sum = _mm512_setzero_ps();
        for (a, b) in a.iter().zip(b) {
            // SAFETY: a line is one aligned register.
            let (a, b) = unsafe { (_mm512_load_ps(a.0.as_ptr()), _mm512_load_ps(b.0.as_ptr())) };
            let d = _mm512_sub_ps(_mm512_mul_ps(a, p), _mm512_mul_ps(b, q));
            sum = _mm512_fmadd_ps(d, d, sum);
        }
        f64::from(_mm512_reduce_add_ps(sum))
    };
    a.chunks(BAND).zip(b.chunks(BAND)).map(band).sum::<f64>().sqrt()
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
