//! One image in blocked form: 16 channels side by side, a border of zeros around the picture
//!
//! ```text
//! lines[block][row][column] = 16 numbers: channels 16 block .. 16 block + 15 at that place
//! ```
//!
//! A line is one register of AVX-512, two of AVX2. The border is as wide as the convolution, in either direction, reaches
//! beyond the picture, so that its kernels read without asking where the picture ends.

use crate::compute::conv::Geometry;
use crate::compute::simd::lines::LANES;

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

    /// Sets the border to zero; [`super::packing`] and the kernels write everything else.
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
