//! A convolution and its transpose as one thing: for every output place, gather these taps
//!
//! ```text
//! forward      y[o] = sum over k        of w[k] x[s o + k - p]
//! transposed   x[i] = sum over k, s | i + p - k  of w[k] y[(i + p - k) / s]
//! ```
//!
//! The forward convolution has one phase. The transposed one has s x s: the places with equal remainders modulo the
//! stride use the same taps.

use super::blocked::Blocked;
use crate::compute::conv::Geometry;

/// One tap: the place in the bordered input for the first output place of the phase, and its place in the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    pub row: usize,
    pub column: usize,
    pub ky: usize,
    pub kx: usize,
}

/// A regular grid of output places that all use the same taps.
#[derive(Clone, Debug)]
pub struct Phase {
    pub taps: Vec<Tap>,
    /// The first output place and the number of places, on each axis.
    pub first: (usize, usize),
    pub count: (usize, usize),
}

/// Which way a convolution is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Transposed,
}

/// Both sides, and how to get from one to the other.
#[derive(Clone, Debug)]
pub struct Plan {
    pub from: Blocked,
    pub to: Blocked,
    /// Distance between the inputs of neighbouring outputs of a phase, and between these outputs.
    pub step_from: usize,
    pub step_to: usize,
    pub phases: Vec<Phase>,
}

impl Plan {
    pub fn new(g: &Geometry, direction: Direction) -> Self {
        let (x, y, s) = (Blocked::input(g), Blocked::output(g), g.window.stride);
        match direction {
            Direction::Forward => {
                let taps = all(0..g.kernel.0, 0..g.kernel.1).map(|(ky, kx)| Tap { row: ky, column: kx, ky, kx });
                let phase = Phase { taps: taps.collect(), first: (0, 0), count: g.output };
                Self { from: x, to: y, step_from: s, step_to: 1, phases: vec![phase] }
            }
            Direction::Transposed => {
                let phases = all(0..s.min(g.input.0), 0..s.min(g.input.1)).map(|(py, px)| {
                    let rows = axis(g, py, g.kernel.0, y.top);
                    let columns = axis(g, px, g.kernel.1, y.left);
                    let taps = rows.iter().flat_map(|(row, ky)| {
                        columns.iter().map(|(column, kx)| Tap { row: *row, column: *column, ky: *ky, kx: *kx })
                    });
                    let count = ((g.input.0 - py).div_ceil(s), (g.input.1 - px).div_ceil(s));
                    Phase { taps: taps.collect(), first: (py, px), count }
                });
                Self { from: y, to: x, step_from: 1, step_to: s, phases: phases.collect() }
            }
        }
    }
}

/// The taps of the transposed convolution along one axis: (place in the bordered output, kernel index).
fn axis(g: &Geometry, phase: usize, kernel: usize, border: usize) -> Vec<(usize, usize)> {
    let (p, s) = (g.window.padding, g.window.stride);
    let fits = (0..kernel).filter(|k| (phase + p + s * kernel - k).is_multiple_of(s));
    // border s >= k - p where the quotient is an integer, so nothing goes below 0.
    fits.map(|k| ((border * s + phase + p - k) / s, k)).collect()
}

fn all(a: std::ops::Range<usize>, b: std::ops::Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    a.flat_map(move |i| b.clone().map(move |j| (i, j)))
}
