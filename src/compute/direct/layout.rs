//! One image in blocked form: 16 channels side by side, a border of zeros around the picture
//!
//! ```text
//! lines[block][row][column] = 16 numbers: channels 16 block .. 16 block + 15 at that place
//! ```
//!
//! A line is one AVX-512 register. The border is as wide as the convolution, in either direction, reaches beyond the
//! picture, so that its kernels read without asking where the picture ends.

use super::super::conv::Geometry;
use std::arch::x86_64::*;

/// Channels in a line.
pub const LANES: usize = 16;

/// 16 numbers that share a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Line(pub [f32; LANES]);

/// 16 numbers in bf16, in the order of their channels.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct HalfLine(pub [u16; LANES]);

/// Where the places of one picture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Border above and to the left.
    pub top: usize,
    pub left: usize,
    /// Size with the border on all sides.
    pub rows: usize,
    pub columns: usize,
}

impl Blocked {
    /// The input side of a convolution.
    pub fn input(g: &Geometry) -> Self {
        let (p, s) = (g.window.padding, g.window.stride);
        let reach = |size: usize, kernel: usize, out: usize| (size + p).max((out - 1) * s + kernel);
        Self {
            channels: g.channels_in,
            height: g.input.0,
            width: g.input.1,
            top: p,
            left: p,
            rows: reach(g.input.0, g.kernel.0, g.output.0),
            columns: reach(g.input.1, g.kernel.1, g.output.1),
        }
    }

    /// The output side.
    pub fn output(g: &Geometry) -> Self {
        let (p, s) = (g.window.padding, g.window.stride);
        // Output places from which the transposed convolution reads lie between those two, on each axis.
        let before = |kernel: usize| (kernel - 1).saturating_sub(p) / s;
        let last = |size: usize, out: usize| ((size - 1 + p) / s + 1).max(out);
        let (top, left) = (before(g.kernel.0), before(g.kernel.1));
        Self {
            channels: g.channels_out,
            height: g.output.0,
            width: g.output.1,
            top,
            left,
            rows: top + last(g.input.0, g.output.0),
            columns: left + last(g.input.1, g.output.1),
        }
    }

    pub fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Lines of one picture.
    pub fn lines(&self) -> usize {
        self.blocks() * self.rows * self.columns
    }

    /// The line of one place of the picture.
    pub fn at(&self, block: usize, y: usize, x: usize) -> usize {
        (block * self.rows + y + self.top) * self.columns + x + self.left
    }

    /// Numbers in the picture, plane by plane.
    pub fn numbers(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Sets the border to zero; [`pack`] and the kernels write everything else.
    pub fn clear_border<T: Copy + Default>(&self, lines: &mut [T]) {
        for plane in lines[..self.lines()].chunks_mut(self.rows * self.columns) {
            for (y, row) in plane.chunks_mut(self.columns).enumerate() {
                if y < self.top || y >= self.top + self.height {
                    row.fill(T::default());
                } else {
                    row[..self.left].fill(T::default());
                    row[self.left + self.width..].fill(T::default());
                }
            }
        }
    }

    /// Which lanes of each line are kept, one bit each, from a mask of the picture plane by plane: 0 drops.
    pub fn mask(&self, mask: &[u8], bits: &mut Vec<u16>) {
        bits.clear();
        bits.resize(self.lines(), 0);
        for (channel, plane) in mask[..self.numbers()].chunks(self.height * self.width).enumerate() {
            let (block, bit) = (channel / LANES, channel % LANES);
            for (y, row) in plane.chunks(self.width).enumerate() {
                let at = self.at(block, y, 0);
                bits[at..at + self.width].iter_mut().zip(row).for_each(|(b, m)| *b |= u16::from(*m != 0) << bit);
            }
        }
    }
}

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

/// A patch of a picture, a channel in each row.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(patch: &Patch, picture: *const f32, plane: usize) -> Rows {
    let some = ((1u32 << patch.places) - 1) as __mmask16;
    let mut rows = [_mm512_setzero_ps(); LANES];
    for (c, row) in rows.iter_mut().enumerate().take(patch.channels) {
        // SAFETY: the mask keeps inside the row of the channel's plane, which the caller vouches for.
        *row = unsafe { _mm512_maskz_loadu_ps(some, picture.add(patch.picture + c * plane)) };
    }
    rows
}

/// The other way.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(patch: &Patch, rows: &Rows, picture: *mut f32, plane: usize) {
    let some = ((1u32 << patch.places) - 1) as __mmask16;
    for (c, row) in rows.iter().enumerate().take(patch.channels) {
        // SAFETY: as in `load`.
        unsafe { _mm512_mask_storeu_ps(picture.add(patch.picture + c * plane), some, *row) };
    }
}

/// A patch of a blocked picture, a place in each row.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_lines(patch: &Patch, lines: *const Line) -> Rows {
    let mut rows = [_mm512_setzero_ps(); LANES];
    for (i, row) in rows.iter_mut().enumerate().take(patch.places) {
        // SAFETY: the lines of the patch lie inside the block, which the caller vouches for.
        *row = unsafe { _mm512_load_ps(lines.add(patch.line + i).cast()) };
    }
    rows
}

/// The other way.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_lines(patch: &Patch, rows: &Rows, lines: *mut Line) {
    for (i, row) in rows.iter().enumerate().take(patch.places) {
        // SAFETY: as in `load_lines`.
        unsafe { _mm512_store_ps(lines.add(patch.line + i).cast(), *row) };
    }
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
    let some = ((1u32 << columns) - 1) as __mmask16;
    let bits = _mm512_set1_epi32(if absolute { i32::MAX } else { -1 });
    let mut all = [_mm512_setzero_ps(); LANES];
    for (i, row) in all.iter_mut().enumerate().take(rows) {
        // SAFETY: row i lies inside, asserted above; the mask keeps to its columns.
        let own = unsafe { _mm512_maskz_loadu_ps(some, from.as_ptr().add(i * stride)) };
        *row = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(own), bits));
    }
    transpose(&mut all);
    let mut lines = [Line::default(); LANES];
    for (line, row) in lines.iter_mut().zip(&all) {
        // SAFETY: a line is one aligned register.
        unsafe { _mm512_store_ps(line.0.as_mut_ptr(), *row) };
    }
    lines
}

/// 16 x 16 numbers, transposed: four rounds that interleave row i with row i + 8.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: &mut Rows) {
    let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    for _ in 0..4 {
        let old = *rows;
        for i in 0..LANES / 2 {
            rows[2 * i] = _mm512_permutex2var_ps(old[i], low, old[i + 8]);
            rows[2 * i + 1] = _mm512_permutex2var_ps(old[i], high, old[i + 8]);
        }
    }
}
