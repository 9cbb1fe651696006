//! The registers of AVX-512

#![expect(unsafe_op_in_unsafe_fn, reason = "the contract of the trait is all that the intrinsics ask")]

use super::form::Form;
use super::register::Register;
use std::arch::x86_64::*;

/// The registers of assembly ask for the instructions in the signature.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn broadcast(from: *const f32) -> __m512 {
    let all: __m512;
    std::arch::asm!("vbroadcastss {all}, dword ptr [{from}]", all = out(zmm_reg) all, from = in(reg) from,
        options(pure, readonly, nostack, preserves_flags));
    all
}

impl Register for __m512 {
    const FORM: Form = Form::Avx512;
    const LANES: usize = 16;
    type Rows = [Self; 16];

    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    unsafe fn enter<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        _mm512_setzero_ps()
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> Self {
        _mm512_set1_ps(x)
    }

    #[inline(always)]
    unsafe fn bits(bits: u32) -> Self {
        _mm512_castsi512_ps(_mm512_set1_epi32(bits.cast_signed()))
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        broadcast(from)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        _mm512_loadu_ps(from)
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self {
        _mm512_maskz_loadu_ps(lanes, from)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm512_storeu_ps(to, self)
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, lanes: u16) {
        _mm512_mask_storeu_ps(to, lanes, self)
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        _mm512_add_ps(self, other)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        _mm512_sub_ps(self, other)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        _mm512_mul_ps(self, other)
    }

    #[inline(always)]
    unsafe fn fma(self, other: Self, plus: Self) -> Self {
        _mm512_fmadd_ps(self, other, plus)
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(self), _mm512_castps_si512(other)))
    }

    #[inline(always)]
    unsafe fn keep(self, lanes: u16) -> Self {
        _mm512_maskz_mov_ps(lanes, self)
    }

    #[inline(always)]
    unsafe fn signed(self, like: Self) -> Self {
        let zero = _mm512_setzero_ps();
        let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(like, zero);
        let nonzero = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(like, zero);
        _mm512_mask_sub_ps(_mm512_maskz_mov_ps(nonzero, self), negative, zero, self)
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        _mm512_reduce_add_ps(self)
    }

    #[inline(always)]
    unsafe fn no_rows() -> Self::Rows {
        [_mm512_setzero_ps(); 16]
    }

    /// Register 4 i + j has the j-th quarters of rows i, 4 + i, 8 + i, 12 + i.
    #[inline(always)]
    unsafe fn pieces(from: *const f32, stride: usize) -> Self::Rows {
        let mut all = Self::no_rows();
        for i in 0..4 {
            // Row by row: rows 4 KiB apart share a set of the first-level cache, which has room for eight.
            for j in 0..4 {
                let quarter = |row: usize| from.add(row * stride + 4 * j);
                let first = _mm512_castps128_ps512(_mm_loadu_ps(quarter(i)));
                let two = _mm512_mask_broadcast_f32x4(first, 0x00f0, _mm_loadu_ps(quarter(4 + i)));
                let three = _mm512_mask_broadcast_f32x4(two, 0x0f00, _mm_loadu_ps(quarter(8 + i)));
                all[4 * i + j] = _mm512_mask_broadcast_f32x4(three, 0xf000, _mm_loadu_ps(quarter(12 + i)));
            }
        }
        all
    }

    #[inline(always)]
    unsafe fn transpose(old: Self::Rows) -> Self::Rows {
        let mut rows = old;
        for j in 0..4 {
            let [a, b, c, d] = [old[j], old[4 + j], old[8 + j], old[12 + j]];
            let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            rows[4 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
            rows[4 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
            let (ab, cd) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            rows[4 * j + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
            rows[4 * j + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        }
        rows
    }
}
