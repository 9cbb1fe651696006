//! A convolution and its transpose in f32, in the form that suits their channels: lines or planes
//!
//! For work that goes back and forth between the two sides, whose pictures stay bordered meanwhile.

use super::blocked::Blocked;
use super::kernel::{self, Kernel};
use super::packing::{pack, unpack};
use super::passes::{as_numbers, keep};
use super::plan::Direction;
use super::planar::{self, Planar, suits};
use super::planes::Planes;
use crate::compute::conv::Geometry;
use crate::compute::simd::lines::Line;
use std::mem::MaybeUninit;

/// Both directions of one convolution.
pub enum Pair {
    Lines { forward: Kernel<Line>, adjoint: Kernel<Line> },
    Planes { forward: Planar, adjoint: Planar },
}

/// One side's picture.
#[derive(Clone, Copy)]
pub enum Side {
    Lines(Blocked),
    Planes(Planes),
}

impl Pair {
    /// `w` is `[O, I, KH, KW]`. The geometry must pass [`super::fits()`].
    pub fn new(g: &Geometry, w: &[f32]) -> Self {
        if suits(g) {
            let planar = |direction| Planar::new(g, w, direction);
            return Self::Planes { forward: planar(Direction::Forward), adjoint: planar(Direction::Transposed) };
        }
        let kernel = |direction| Kernel::new(g, w, direction, false);
        Self::Lines { forward: kernel(Direction::Forward), adjoint: kernel(Direction::Transposed) }
    }

    /// The input and the output side.
    pub fn sides(&self) -> (Side, Side) {
        match self {
            Self::Lines { forward, .. } => (Side::Lines(forward.plan.from), Side::Lines(forward.plan.to)),
            Self::Planes { forward, .. } => (Side::Planes(forward.from), Side::Planes(forward.to)),
        }
    }

    /// `kept ? scale W x : 0`, or with the transpose of W; `split` shares the picture among the threads. Returns the sum
    /// of squares. The border of `y` is not touched.
    pub fn product(
        &self,
        direction: Direction,
        x: &mut [Line],
        y: &mut [Line],
        scale: f32,
        mask: Option<&[u16]>,
        split: bool,
    ) -> f64 {
        let is_forward = direction == Direction::Forward;
        match self {
            Self::Lines { forward, adjoint } => {
                let kernel = if is_forward { forward } else { adjoint };
                let finish = kernel::Finish { bias: None, scale: Some(scale), mask };
                if split { kernel.run_split(x, y, finish) } else { kernel.run(x, y, finish) }
            }
            Self::Planes { forward, adjoint } => {
                let planar = if is_forward { forward } else { adjoint };
                let finish = planar::Finish { bias: None, scale, mask };
                let (x, y) = (as_numbers(x), as_numbers(y));
                if split { planar.run_split(x, y, finish) } else { planar.run(x, y, finish) }
            }
        }
    }
}

impl Side {
    /// Lines of memory that its picture takes.
    pub fn lines(&self) -> usize {
        match self {
            Self::Lines(layout) => layout.lines(),
            Self::Planes(layout) => layout.lines(),
        }
    }

    /// Numbers in the picture.
    pub fn numbers(&self) -> usize {
        match self {
            Self::Lines(layout) => layout.numbers(),
            Self::Planes(layout) => layout.numbers(),
        }
    }

    /// Zeros, in the border at least.
    pub fn clear(&self, picture: &mut [Line]) {
        match self {
            Self::Lines(layout) => layout.clear_border(picture),
            Self::Planes(_) => picture.fill(Line::default()),
        }
    }

    /// What is kept, a bit each, from a mask plane by plane: 0 drops.
    pub fn mask(&self, mask: &[u8]) -> Vec<u16> {
        match self {
            Self::Lines(layout) => {
                let mut bits = vec![];
                layout.mask(mask, &mut bits);
                bits
            }
            Self::Planes(layout) => layout.mask(mask),
        }
    }

    /// A picture plane by plane into this form, without what the mask drops.
    pub fn pack(&self, from: &[f32], mask: Option<&[u16]>, to: &mut [Line]) {
        match self {
            Self::Lines(layout) => {
                layout.clear_border(to);
                pack(layout, from, to);
                if let Some(mask) = mask {
                    keep(to, mask);
                }
            }
            Self::Planes(layout) => layout.pack(from, mask, as_numbers(to)),
        }
    }

    /// The other way, times `scale`; all of `to` is written.
    pub fn unpack(&self, from: &mut [Line], scale: f32, to: &mut [MaybeUninit<f32>]) {
        assert_eq!(to.len(), self.numbers(), "room of the wrong size");
        match self {
            // SAFETY: the room is right.
            Self::Lines(layout) => unsafe { unpack(layout, from, scale, to.as_mut_ptr().cast()) },
            Self::Planes(layout) => layout.unpack(as_numbers(from), scale, to),
        }
    }
}
