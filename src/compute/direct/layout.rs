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
    pub fn len(&self) -> usize {
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
        for (channel, plane) in mask[..self.len()].chunks(self.height * self.width).enumerate() {
            let (block, bit) = (channel / LANES, channel % LANES);
            for (y, row) in plane.chunks(self.width).enumerate() {
                let at = self.at(block, y, 0);
                bits[at..at + self.width].iter_mut().zip(row).for_each(|(b, m)| *b |= u16::from(*m != 0) << bit);
            }
        }
    }
}

/// A picture, plane by plane, into its blocked form. The border is not touched.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub unsafe fn pack(layout: &Blocked, picture: &[f32], lines: &mut [Line]) {
    assert!(picture.len() >= layout.len() && lines.len() >= layout.lines());
    let plane = layout.height * layout.width;
    for block in 0..layout.blocks() {
        let channels = (layout.channels - block * LANES).min(LANES);
        for y in 0..layout.height {
            for x in (0..layout.width).step_by(LANES) {
                let places = (layout.width - x).min(LANES);
                let some = ((1u32 << places) - 1) as __mmask16;
                let mut rows = [_mm512_setzero_ps(); LANES];
                // SAFETY: the masked loads stay inside row y of each channel's plane; the stores inside row y of the block.
                unsafe {
                    let from = picture.as_ptr().add(block * LANES * plane + y * layout.width + x);
                    for (c, row) in rows.iter_mut().enumerate().take(channels) {
                        *row = _mm512_maskz_loadu_ps(some, from.add(c * plane));
                    }
                    transpose(&mut rows);
                    let to = lines.as_mut_ptr().add(layout.at(block, y, x)).cast::<f32>();
                    for (i, row) in rows.iter().enumerate().take(places) {
                        _mm512_store_ps(to.add(i * LANES), *row);
                    }
                }
            }
        }
    }
}

/// The other way, times `scale`. Writes all of `picture`, which need not be initialised.
///
/// # Safety
/// The processor has AVX-512F; `picture` has room for [`Blocked::len`] numbers.
#[target_feature(enable = "avx512f")]
pub unsafe fn unpack(layout: &Blocked, lines: &[Line], scale: f32, picture: *mut f32) {
    assert!(lines.len() >= layout.lines());
    let plane = layout.height * layout.width;
    let scale = _mm512_set1_ps(scale);
    for block in 0..layout.blocks() {
        let channels = (layout.channels - block * LANES).min(LANES);
        for y in 0..layout.height {
            for x in (0..layout.width).step_by(LANES) {
                let places = (layout.width - x).min(LANES);
                let some = ((1u32 << places) - 1) as __mmask16;
                let mut rows = [_mm512_setzero_ps(); LANES];
                // SAFETY: as in `pack`, with loads and stores exchanged.
                unsafe {
                    let from = lines.as_ptr().add(layout.at(block, y, x)).cast::<f32>();
                    for (i, row) in rows.iter_mut().enumerate().take(places) {
                        *row = _mm512_mul_ps(_mm512_load_ps(from.add(i * LANES)), scale);
                    }
                    transpose(&mut rows);
                    let to = picture.add(block * LANES * plane + y * layout.width + x);
                    for (c, row) in rows.iter().enumerate().take(channels) {
                        _mm512_mask_storeu_ps(to.add(c * plane), some, *row);
                    }
                }
            }
        }
    }
}

/// 16 x 16 numbers, transposed: four rounds that interleave row i with row i + 8.
#[target_feature(enable = "avx512f")]
fn transpose(rows: &mut [__m512; LANES]) {
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
