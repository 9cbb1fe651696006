//! One image plane by plane with a border of zeros: the form that [`super::planar`] reads and writes
//!
//! ```text
//! rows of one channel: | 16 zeros | the row, filled up with zeros to a multiple of 16 | ... one more row of zeros
//! ```

use crate::compute::simd::form::{Form, present};
use crate::compute::simd::lines::LANES;
use crate::compute::simd::lines::first;
use std::mem::MaybeUninit;

/// One picture's planes, with a border of zeros. What lies left of a row is also right of the one above.
#[derive(Clone, Copy, Debug)]
pub struct Planes {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Rows of the border above.
    pub top: usize,
    /// Size with the border.
    pub rows: usize,
    pub columns: usize,
    /// Places in a register.
    pub lanes: usize,
}

impl Planes {
    pub fn new(channels: usize, (height, width): (usize, usize), top: usize, bottom: usize) -> Self {
        let columns = LANES + width.next_multiple_of(LANES);
        let lanes = match present() {
            Form::Avx2 => 8,
            Form::Avx512 => 16,
        };
        // One row more, for what the last one has on its right.
        Self { channels, height, width, top, rows: top + height + bottom + 1, columns, lanes }
    }

    /// Room for all planes, in lines of 16 numbers.
    pub fn lines(&self) -> usize {
        self.channels * self.rows * self.columns / LANES
    }

    /// Numbers of the picture itself.
    pub fn numbers(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Registers in a row.
    pub fn parts(&self) -> usize {
        self.width.div_ceil(self.lanes)
    }

    /// Registers of a channel.
    pub fn places(&self) -> usize {
        self.height * self.parts()
    }

    /// Where register `place` of a channel begins.
    pub fn at(&self, place: usize) -> usize {
        (self.top + place / self.parts()) * self.columns + LANES + place % self.parts() * self.lanes
    }

    /// Which of its lanes lie in the picture.
    pub fn kept(&self, place: usize) -> u16 {
        first(self.width - place % self.parts() * self.lanes)
    }

    /// Where the same register lies in a picture without border.
    pub fn bare(&self, place: usize) -> usize {
        place / self.parts() * self.width + place % self.parts() * self.lanes
    }

    /// A picture, plane by plane, times 0 where the mask (see [`Planes::mask`]) says so, and its border.
    pub fn pack(&self, picture: &[f32], mask: Option<&[u16]>, to: &mut [f32]) {
        assert!(picture.len() >= self.numbers() && to.len() >= self.lines() * LANES);
        to[..self.lines() * LANES].fill(0.0);
        let (plane, bordered) = (self.height * self.width, self.rows * self.columns);
        for channel in 0..self.channels {
            for (y, row) in picture[channel * plane..][..plane].chunks(self.width).enumerate() {
                to[channel * bordered + (self.top + y) * self.columns + LANES..][..self.width].copy_from_slice(row);
            }
            for place in (0..self.places()).filter(|_| mask.is_some()) {
                let keep = mask.map_or(!0, |mask| mask[channel * self.places() + place]);
                let own = &mut to[channel * bordered + self.at(place)..][..self.lanes];
                own.iter_mut().enumerate().for_each(|(i, x)| *x = if keep >> i & 1 == 0 { 0.0 } else { *x });
            }
        }
    }

    /// The picture without border, times `scale`.
    pub fn unpack(&self, from: &[f32], scale: f32, picture: &mut [MaybeUninit<f32>]) {
        assert!(picture.len() >= self.numbers());
        for (at, row) in picture[..self.numbers()].chunks_mut(self.width).enumerate() {
            let (channel, y) = (at / self.height, at % self.height);
            let own = &from[(channel * self.rows + self.top + y) * self.columns + LANES..][..self.width];
            row.iter_mut().zip(own).for_each(|(to, x)| {
                to.write(x * scale);
            });
        }
    }

    /// Which lanes of each register are kept, from a mask of the picture plane by plane: 0 drops.
    pub fn mask(&self, mask: &[u8]) -> Vec<u16> {
        let register = |part: &[u8]| part.iter().enumerate().fold(0, |bits, (i, m)| bits | u16::from(*m != 0) << i);
        mask[..self.numbers()].chunks(self.width).flat_map(|row| row.chunks(self.lanes).map(register)).collect()
    }
}
