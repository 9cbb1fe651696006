//! Pictures into blocked form and back: 16 channels by 16 places at a time, transposed in registers
//!
//! ```text
//! plane by plane: channel c at places x .. x + 15      <->      in lines: place x, channels 16 b .. 16 b + 15
//! ```

use super::layout::{Blocked, LANES, Line};
use std::arch::x86_64::*;

/// Up to 16 places in a row of one block: where they start, plane by plane and in lines, and how many there are.
struct Patch {
    picture: usize,
    line: usize,
    places: usize,
    channels: usize,
}

impl Blocked {
    /// Calls `work` with every patch of the picture.
    #[inline(always)]
    fn patches(&self, mut work: impl FnMut(&Patch)) {
        let plane = self.height * self.width;
        for block in 0..self.blocks() {
            let channels = (self.channels - block * LANES).min(LANES);
            for y in 0..self.height {
                for x in (0..self.width).step_by(LANES) {
                    let picture = block * LANES * plane + y * self.width + x;
                    let places = (self.width - x).min(LANES);
                    work(&Patch { picture, line: self.at(block, y, x), places, channels });
                }
            }
        }
    }
}

type Rows = [__m512; LANES];

/// A patch of a picture, for [`transpose`] to put a place in each row.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(patch: &Patch, picture: *const f32, plane: usize) -> Rows {
    // SAFETY: the rows of the patch lie inside the planes of its channels, which the caller vouches for.
    unsafe {
        let corner = picture.add(patch.picture);
        if patch.places == LANES && patch.channels == LANES {
            return quarters(corner, plane);
        }
        let whole = filled(corner, patch.channels, plane, patch.places);
        quarters(whole.as_ptr().cast(), LANES)
    }
}

/// Up to 16 rows of up to 16 numbers, `stride` apart, filled up with zeros.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn filled(from: *const f32, rows: usize, stride: usize, columns: usize) -> [Line; LANES] {
    let some = ((1u32 << columns) - 1) as __mmask16;
    let mut whole = [Line::default(); LANES];
    for (i, row) in whole.iter_mut().enumerate().take(rows) {
        // SAFETY: the mask keeps inside the row, which the caller vouches for; a line is one aligned register.
        unsafe { _mm512_store_ps(row.0.as_mut_ptr(), _mm512_maskz_loadu_ps(some, from.add(i * stride))) };
    }
    whole
}

/// The other way.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(patch: &Patch, rows: &Rows, picture: *mut f32, plane: usize) {
    let some = ((1u32 << patch.places) - 1) as __mmask16;
    let to = |c: usize| picture.wrapping_add(patch.picture + c * plane);
    if patch.places == LANES {
        // SAFETY: as in `load`.
        each(patch.channels, |c| unsafe { _mm512_storeu_ps(to(c), rows[c]) });
    } else {
        // SAFETY: as in `load`.
        each(patch.channels, |c| unsafe { _mm512_mask_storeu_ps(to(c), some, rows[c]) });
    }
}

/// Calls `work` with 0 to `count`, in a row where that is 16, so that rows need not be in memory.
#[inline(always)]
fn each(count: usize, work: impl Fn(usize)) {
    if count == LANES {
        (0..LANES).for_each(work);
    } else {
        (0..count).for_each(work);
    }
}

/// A patch of a blocked picture, for [`transpose`] to put a channel in each row.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_lines(patch: &Patch, lines: *const Line) -> Rows {
    // SAFETY: the lines of the patch lie inside the block, which the caller vouches for.
    unsafe {
        let first = lines.add(patch.line).cast::<f32>();
        if patch.places == LANES {
            return quarters(first, LANES);
        }
        let whole = filled(first, patch.places, LANES, LANES);
        quarters(whole.as_ptr().cast(), LANES)
    }
}

/// The other way.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_lines(patch: &Patch, rows: &Rows, lines: *mut Line) {
    each(patch.places, |i| {
        // SAFETY: as in `load_lines`.
        unsafe { _mm512_store_ps(lines.add(patch.line + i).cast(), rows[i]) };
    });
}

/// A picture, plane by plane, into its blocked form. The border is not touched.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub unsafe fn pack(layout: &Blocked, picture: &[f32], lines: &mut [Line]) {
    assert!(picture.len() >= layout.numbers() && lines.len() >= layout.lines());
    let (plane, lines) = (layout.height * layout.width, lines.as_mut_ptr());
    // SAFETY: the patches lie inside both, whose sizes have been asserted.
    layout.patches(|patch| unsafe {
        let mut rows = load(patch, picture.as_ptr(), plane);
        transpose(&mut rows);
        store_lines(patch, &rows, lines);
    });
}

/// A picture's lower and upper ends into the blocked form of their middles and half-widths.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub unsafe fn pack_middles(layout: &Blocked, lower: &[f32], upper: &[f32], middle: &mut [Line], half: &mut [Line]) {
    assert!(lower.len() >= layout.numbers() && upper.len() >= layout.numbers());
    assert!(middle.len() >= layout.lines() && half.len() >= layout.lines());
    let plane = layout.height * layout.width;
    let (middle, half, two) = (middle.as_mut_ptr(), half.as_mut_ptr(), _mm512_set1_ps(0.5));
    // SAFETY: as in `pack`.
    layout.patches(|patch| unsafe {
        let (mut l, mut u) = (load(patch, lower.as_ptr(), plane), load(patch, upper.as_ptr(), plane));
        for (l, u) in l.iter_mut().zip(&mut u) {
            let (sum, difference) = (_mm512_add_ps(*l, *u), _mm512_sub_ps(*u, *l));
            (*l, *u) = (_mm512_mul_ps(sum, two), _mm512_mul_ps(difference, two));
        }
        transpose(&mut l);
        store_lines(patch, &l, middle);
        transpose(&mut u);
        store_lines(patch, &u, half);
    });
}

/// A blocked picture plane by plane, times `scale`. Writes all of `picture`, which need not be initialised.
///
/// # Safety
/// The processor has AVX-512F; `picture` has room for [`Blocked::numbers`] numbers.
#[target_feature(enable = "avx512f")]
pub unsafe fn unpack(layout: &Blocked, lines: &[Line], scale: f32, picture: *mut f32) {
    assert!(lines.len() >= layout.lines());
    let (plane, scale) = (layout.height * layout.width, _mm512_set1_ps(scale));
    // SAFETY: as in `pack`, and the caller's promise.
    layout.patches(|patch| unsafe {
        let mut rows = load_lines(patch, lines.as_ptr());
        rows.iter_mut().for_each(|row| *row = _mm512_mul_ps(*row, scale));
        transpose(&mut rows);
        store(patch, &rows, picture, plane);
    });
}

/// `a - b` and `a + b` of two blocked pictures, plane by plane.
///
/// # Safety
/// As for [`unpack`].
#[target_feature(enable = "avx512f")]
pub unsafe fn unpack_ends(layout: &Blocked, a: &[Line], b: &[Line], lower: *mut f32, upper: *mut f32) {
    assert!(a.len() >= layout.lines() && b.len() >= layout.lines());
    let plane = layout.height * layout.width;
    // SAFETY: as in `unpack`.
    layout.patches(|patch| unsafe {
        let (a, b) = (load_lines(patch, a.as_ptr()), load_lines(patch, b.as_ptr()));
        let (mut l, mut u) = (a, a);
        for ((l, u), b) in l.iter_mut().zip(&mut u).zip(&b) {
            (*l, *u) = (_mm512_sub_ps(*l, *b), _mm512_add_ps(*u, *b));
        }
        transpose(&mut l);
        store(patch, &l, lower, plane);
        transpose(&mut u);
        store(patch, &u, upper, plane);
    });
}

/// Up to 16 rows of up to 16 numbers each, `stride` apart.
pub struct Matrix<'a> {
    pub from: &'a [f32],
    pub rows: usize,
    pub stride: usize,
    pub columns: usize,
}

/// The columns of a matrix as lines, missing rows as zeros; with `absolute` of its absolute values.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub unsafe fn turned(matrix: &Matrix, absolute: bool) -> [Line; LANES] {
    let Matrix { from, rows, stride, columns } = *matrix;
    assert!(rows <= LANES && columns <= LANES && (rows == 0 || from.len() >= (rows - 1) * stride + columns));
    let bits = _mm512_set1_epi32(if absolute { i32::MAX } else { -1 });
    // SAFETY: all rows lie inside, asserted above.
    let mut all = unsafe {
        let whole = filled(from.as_ptr(), rows, stride, columns);
        quarters(whole.as_ptr().cast(), LANES)
    };
    for row in &mut all {
        *row = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(*row), bits));
    }
    transpose(&mut all);
    let mut lines = [Line::default(); LANES];
    for (line, row) in lines.iter_mut().zip(&all) {
        // SAFETY: a line is one aligned register.
        unsafe { _mm512_store_ps(line.0.as_mut_ptr(), *row) };
    }
    lines
}

/// 16 rows of 16 numbers by quarters, `stride` apart: register 4 i + j has the j-th quarters of rows i, 4 + i, 8 + i, 12 + i.
/// Loading them so is half of a transposition, and leaves the port for shuffles alone.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn quarters(from: *const f32, stride: usize) -> Rows {
    let mut all = [_mm512_setzero_ps(); LANES];
    for i in 0..4 {
        // Row by row: rows 4 KiB apart share a set of the first-level cache, which has room for eight.
        for j in 0..4 {
            // SAFETY: inside the rows, which the caller vouches for.
            unsafe {
                let quarter = |row: usize| _mm_loadu_ps(from.add(row * stride + 4 * j));
                let first = _mm512_castps128_ps512(quarter(i));
                let two = _mm512_mask_broadcast_f32x4(first, 0x00f0, quarter(4 + i));
                let three = _mm512_mask_broadcast_f32x4(two, 0x0f00, quarter(8 + i));
                all[4 * i + j] = _mm512_mask_broadcast_f32x4(three, 0xf000, quarter(12 + i));
            }
        }
    }
    all
}

/// Quarters of 16 rows to 16 columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: &mut Rows) {
    let old = *rows;
    for j in 0..4 {
        let [a, b, c, d] = [old[j], old[4 + j], old[8 + j], old[12 + j]];
        let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
        let pairs = |a, b| (_mm512_castps_pd(a), _mm512_castps_pd(b));
        let low = |(a, b)| _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        let high = |(a, b)| _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        rows[4 * j] = low(pairs(ab, cd));
        rows[4 * j + 1] = high(pairs(ab, cd));
        rows[4 * j + 2] = low(pairs(ab_high, cd_high));
        rows[4 * j + 3] = high(pairs(ab_high, cd_high));
    }
}
