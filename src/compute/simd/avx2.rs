//! The registers of AVX2 with FMA

#![expect(unsafe_op_in_unsafe_fn, reason = "the contract of the trait is all that the intrinsics ask")]

use super::form::Form;
use super::register::Register;
use std::arch::x86_64::*;

/// The bits of all lanes. That is the usual case, and no mask is made for it.
const ALL: u16 = 0xff;

/// All bits of the lanes whose bits are set.
#[inline(always)]
unsafe fn whole(lanes: u16) -> __m256i {
    let own = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(i32::from(lanes)), own), own)
}

/// The registers of assembly ask for the instructions in the signature.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn broadcast(from: *const f32) -> __m256 {
    let all: __m256;
    std::arch::asm!("vbroadcastss {all}, dword ptr [{from}]", all = out(ymm_reg) all, from = in(reg) from,
        options(pure, readonly, nostack, preserves_flags));
    all
}

impl Register for __m256 {
    const FORM: Form = Form::Avx2;
    const LANES: usize = 8;
    type Rows = [Self; 8];

    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn enter<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        _mm256_setzero_ps()
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> Self {
        _mm256_set1_ps(x)
    }

    #[inline(always)]
    unsafe fn bits(bits: u32) -> Self {
        _mm256_castsi256_ps(_mm256_set1_epi32(bits.cast_signed()))
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        broadcast(from)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        _mm256_loadu_ps(from)
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self {
        if lanes & ALL == ALL { _mm256_loadu_ps(from) } else { _mm256_maskload_ps(from, whole(lanes)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm256_storeu_ps(to, self)
    }

    /// By parts: AMD's processors take dozens of steps for a store with a mask.
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, lanes: u16) {
        let count = lanes.trailing_ones() as usize;
        if count >= 8 {
            return _mm256_storeu_ps(to, self);
        }
        let (mut rest, mut to) = (_mm256_castps256_ps128(self), to);
        if count & 4 != 0 {
            _mm_storeu_ps(to, rest);
            (rest, to) = (_mm256_extractf128_ps::<1>(self), to.add(4));
        }
        if count & 2 != 0 {
            _mm_storel_pd(to.cast(), _mm_castps_pd(rest));
            (rest, to) = (_mm_movehl_ps(rest, rest), to.add(2));
        }
        if count & 1 != 0 {
            _mm_store_ss(to, rest);
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        _mm256_add_ps(self, other)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        _mm256_sub_ps(self, other)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        _mm256_mul_ps(self, other)
    }

    #[inline(always)]
    unsafe fn fma(self, other: Self, plus: Self) -> Self {
        _mm256_fmadd_ps(self, other, plus)
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        _mm256_and_ps(self, other)
    }

    #[inline(always)]
    unsafe fn keep(self, lanes: u16) -> Self {
        if lanes & ALL == ALL { self } else { _mm256_and_ps(self, _mm256_castsi256_ps(whole(lanes))) }
    }

    #[inline(always)]
    unsafe fn signed(self, like: Self) -> Self {
        let zero = _mm256_setzero_ps();
        let negative = _mm256_cmp_ps::<_CMP_LT_OQ>(like, zero);
        let nonzero = _mm256_cmp_ps::<_CMP_NEQ_UQ>(like, zero);
        _mm256_and_ps(_mm256_blendv_ps(self, _mm256_sub_ps(zero, self), negative), nonzero)
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }

    #[inline(always)]
    unsafe fn no_rows() -> Self::Rows {
        [_mm256_setzero_ps(); 8]
    }

    /// Register 2 i + j has the j-th halves of rows i and 4 + i.
    #[inline(always)]
    unsafe fn pieces(from: *const f32, stride: usize) -> Self::Rows {
        let mut all = Self::no_rows();
        for i in 0..4 {
            for j in 0..2 {
                let half = |row: usize| from.add(row * stride + 4 * j);
                let first = _mm256_castps128_ps256(_mm_loadu_ps(half(i)));
                all[2 * i + j] = _mm256_insertf128_ps::<1>(first, _mm_loadu_ps(half(4 + i)));
            }
        }
        all
    }

    #[inline(always)]
    unsafe fn transpose(old: Self::Rows) -> Self::Rows {
        let mut rows = old;
        for j in 0..2 {
            let [a, b, c, d] = [old[j], old[2 + j], old[4 + j], old[6 + j]];
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
            rows[4 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd));
            rows[4 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd));
            let (ab, cd) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
            rows[4 * j + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd));
            rows[4 * j + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd));
        }
        rows
    }
}
