//! One convolution of one picture, in one direction: the plan, the weights in the order in which the tiles read them,
//! and the walk over phases, output channels, rows and tiles
//!
//! A few input blocks are taken at a time, so that their weights stay in the first-level cache for the whole picture;
//! the sums wait in the output, which is in the second-level cache. In bf16 there is no room for sums in the output, and
//! half the weights: all blocks are taken at once.

use super::blocked::Blocked;
use super::packing::{Matrix, turned};
use super::plan::{Direction, Phase, Plan};
use super::tile::{self, Largest, Tile, WORDS_BF16, WORDS_F32};
use crate::compute::conv::Geometry;
use crate::compute::elementwise::loops::Shared;
use crate::compute::simd::form::present;
use crate::compute::simd::lines::{HalfLine, LANES, Line};
use rayon::prelude::*;
use std::ops::Range;

/// Bytes of weights that are kept in the first-level cache while a picture passes.
const FIRST_LEVEL: usize = 24 << 10;
/// Bytes of input that stay in the second-level cache while all output channels of these rows are computed.
const LARGEST_BAND: usize = 256 << 10;
/// Bands of a picture that the threads share.
const SPLIT: usize = 8;

/// What happens to each output on its way out of the registers: `kept ? scale (sum + bias) : 0`.
#[derive(Clone, Copy, Default)]
pub struct Finish<'a> {
    /// One number per output channel, in lines.
    pub bias: Option<&'a [Line]>,
    pub scale: Option<f32>,
    /// From [`Blocked::mask`] of the output side.
    pub mask: Option<&'a [u16]>,
}

/// A number format of the inputs and outputs; sums are f32 in either.
pub trait Format: Copy + Default + Send + Sync {
    /// Words (f32, or pairs of bf16) in a line.
    const WORDS: usize;
    /// Channels in one multiply-add step.
    const CHANNELS: usize;
    /// May bare sums wait in the output?
    const PAUSES: bool;
    /// The largest tile on this processor.
    fn largest() -> Largest;
    /// See [`tile::f32_tile`].
    ///
    /// # Safety
    /// As there.
    unsafe fn tile(t: &Tile, blocks: usize, step: usize, width: usize) -> f32;
}

impl Format for Line {
    const WORDS: usize = WORDS_F32;
    const CHANNELS: usize = 1;
    const PAUSES: bool = true;

    fn largest() -> Largest {
        tile::largest(present())
    }

    unsafe fn tile(t: &Tile, blocks: usize, step: usize, width: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { tile::f32_tile(t, blocks, step, width) }
    }
}

impl Format for HalfLine {
    const WORDS: usize = WORDS_BF16;
    const CHANNELS: usize = 2;
    const PAUSES: bool = false;

    fn largest() -> Largest {
        tile::WITH_32
    }

    unsafe fn tile(t: &Tile, blocks: usize, step: usize, width: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { tile::bf16_tile(t, blocks, step, width) }
    }
}

/// One direction of a convolution with these weights.
pub struct Kernel<F> {
    pub plan: Plan,
    largest: Largest,
    /// Multiply-add steps of each input block.
    steps: Vec<usize>,
    phases: Vec<Packed>,
    format: std::marker::PhantomData<F>,
}

/// What the tiles of one phase read: for each group of output blocks, input block, tap and step a line for each of them.
struct Packed {
    taps: Vec<usize>,
    weights: Vec<Line>,
}

impl<F: Format> Kernel<F> {
    /// `w` is `[O, I, KH, KW]`; `absolute` takes |w|. The geometry must pass [`super::fits()`].
    pub fn new(g: &Geometry, w: &[f32], direction: Direction, absolute: bool) -> Self {
        let plan = Plan::new(g, direction);
        let channels = |block: usize| (plan.from.channels - block * LANES).min(LANES);
        let steps: Vec<usize> = (0..plan.from.blocks()).map(|b| channels(b).div_ceil(F::CHANNELS)).collect();
        let largest = F::largest();
        let packed = |phase| Packed::new::<F>(g, w, &plan, phase, &steps, largest.blocks, (direction, absolute));
        let phases = plan.phases.iter().map(packed).collect();
        Self { plan, largest, steps, phases, format: std::marker::PhantomData }
    }

    /// One picture, on this thread. Returns the sum of squares of the outputs. The border of `y` is not touched.
    pub fn run(&self, x: &[F], y: &mut [F], finish: Finish) -> f64 {
        let y = self.checked(x, y, &finish);
        // SAFETY: `checked` has seen to the sizes, and no other band is at work.
        self.bands(LARGEST_BAND)
            .into_iter()
            .map(|(phase, rows)| unsafe { self.band(phase, rows, x, &y, &finish) })
            .sum()
    }

    /// The same, the picture's rows shared among the threads: for a batch of one.
    pub fn run_split(&self, x: &[F], y: &mut [F], finish: Finish) -> f64 {
        let y = self.checked(x, y, &finish);
        // Always the same bands, so that the order of the sum does not depend on the number of threads.
        let rows = self.plan.phases.iter().map(|p| p.count.0).max().unwrap_or(1);
        let bands = self.bands(LARGEST_BAND.min(self.row_bytes() * rows.div_ceil(SPLIT)));
        // SAFETY: as above, and bands have rows of their own.
        bands
            .into_par_iter()
            .map(|(phase, rows)| unsafe { self.band(phase, rows, x, &y, &finish) })
            .collect::<Vec<_>>()
            .iter()
            .sum()
    }

    fn checked<'a>(&self, x: &[F], y: &'a mut [F], finish: &Finish) -> Shared<'a, F> {
        let plan = &self.plan;
        assert!(x.len() >= plan.from.lines() && y.len() >= plan.to.lines(), "buffers of the wrong size");
        assert!(finish.mask.is_none_or(|m| m.len() >= plan.to.lines()));
        assert!(finish.bias.is_none_or(|b| b.len() >= plan.to.blocks()));
        Shared::new(y)
    }

    /// Input that one more row of outputs needs.
    fn row_bytes(&self) -> usize {
        let from = &self.plan.from;
        from.blocks() * from.columns * size_of::<F>() * self.plan.step_from
    }

    /// Each phase's rows in bands whose input has at most so many bytes.
    fn bands(&self, bytes: usize) -> Vec<(usize, Range<usize>)> {
        let rows = (bytes / self.row_bytes()).max(1);
        let of = |(at, phase): (usize, &Phase)| {
            let count = phase.count.0;
            (0..count).step_by(rows).map(move |from| (at, from..(from + rows).min(count)))
        };
        self.plan.phases.iter().enumerate().flat_map(of).collect()
    }

    /// Some rows of one phase.
    ///
    /// # Safety
    /// `x` and `y` have the plan's sizes; nobody else writes these rows of `y`.
    unsafe fn band(&self, phase: usize, rows: Range<usize>, x: &[F], y: &Shared<F>, finish: &Finish) -> f64 {
        let (phase, packed) = (&self.plan.phases[phase], &self.phases[phase]);
        let (from, to) = (&self.plan.from, &self.plan.to);
        let (outs, total) = (to.blocks(), self.steps.iter().sum::<usize>());
        let per_block = packed.taps.len() * self.largest.blocks * LANES / F::CHANNELS;
        let chunk = if F::PAUSES { (FIRST_LEVEL / 64 / per_block.max(1)).max(1) } else { self.steps.len() };
        let parts = phase.count.1.div_ceil(self.largest.width);
        let mut squares = 0.0;
        for out in (0..outs).step_by(self.largest.blocks) {
            let blocks = (outs - out).min(self.largest.blocks);
            let group = out * total * packed.taps.len();
            let mut done = 0;
            for first in (0..self.steps.len()).step_by(chunk) {
                let steps = &self.steps[first..(first + chunk).min(self.steps.len())];
                let w = group + done * packed.taps.len() * blocks;
                done += steps.iter().sum::<usize>();
                for row in rows.clone() {
                    let mut column = 0;
                    for part in 0..parts {
                        // Rows are split evenly, so that no tile is much narrower than the others.
                        let width = (phase.count.1 - column).div_ceil(parts - part);
                        let (oy, ox) =
                            (phase.first.0 + row * self.plan.step_to, phase.first.1 + column * self.plan.step_to);
                        let line = to.at(out, oy, ox);
                        let (iy, ix) = (row * self.plan.step_from, column * self.plan.step_from);
                        let corner = (first * from.rows + iy) * from.columns + ix;
                        // SAFETY: `plan` keeps every tap inside the bordered input and every output inside the picture; the
                        // weights were packed in this order; `fits` has seen to the steps.
                        squares += f64::from(unsafe {
                            let tile = Tile {
                                x: x.as_ptr().add(corner).cast(),
                                x_block: from.rows * from.columns * F::WORDS,
                                steps,
                                taps: &packed.taps,
                                w: packed.weights.as_ptr().add(w).cast(),
                                resume: first > 0,
                                bias: finish.bias.map_or(std::ptr::null(), |b| b.as_ptr().add(out).cast()),
                                pause: first + chunk < self.steps.len(),
                                y: y.at(line).cast(),
                                y_block: to.rows * to.columns,
                                y_step: self.plan.step_to,
                                scale: finish.scale.unwrap_or(1.0),
                                mask: finish.mask.map_or(std::ptr::null(), |m| m.as_ptr().add(line)),
                            };
                            F::tile(&tile, blocks, self.plan.step_from, width)
                        });
                        column += width;
                    }
                }
            }
        }
        squares
    }
}

impl Packed {
    fn new<F: Format>(
        g: &Geometry,
        w: &[f32],
        plan: &Plan,
        phase: &Phase,
        steps: &[usize],
        group: usize,
        (direction, absolute): (Direction, bool),
    ) -> Self {
        let (ins, outs, area) = (plan.from.channels, plan.to.channels, g.kernel.0 * g.kernel.1);
        // Distance in w between neighbouring outputs and neighbouring inputs of this direction.
        let (out_step, in_step) = match direction {
            Direction::Forward => (ins * area, area),
            Direction::Transposed => (area, outs * area),
        };
        // Where in the order of this phase's taps a place of the kernel comes.
        let mut places = vec![None; area];
        phase.taps.iter().enumerate().for_each(|(at, tap)| places[tap.ky * g.kernel.1 + tap.kx] = Some(at));
        let per_block = phase.taps.len() * steps.iter().sum::<usize>();
        let mut weights = vec![Line::default(); per_block * plan.to.blocks()];
        weights.par_chunks_mut((per_block * group).max(1)).enumerate().for_each(|(at, weights)| {
            let blocks = weights.len() / per_block;
            for (own, input) in (0..blocks).flat_map(|own| (0..ins).step_by(F::CHANNELS).map(move |i| (own, i))) {
                let first = (at * group + own) * LANES;
                let (block, step) = (input / LANES, input % LANES / F::CHANNELS);
                let before = steps[..block].iter().sum::<usize>() * phase.taps.len();
                for place in (0..area).step_by(LANES) {
                    let from = &w[first * out_step + input * in_step + place..];
                    let matrix = |i: usize| Matrix {
                        from: from.get(i * in_step..).unwrap_or(&[]),
                        rows: if input + i < ins { (outs - first).min(LANES) } else { 0 },
                        stride: out_step,
                        columns: (area - place).min(LANES),
                    };
                    let mut lines = turned(&matrix(0), absolute);
                    if F::CHANNELS == 2 {
                        let second = turned(&matrix(1), absolute);
                        lines.iter_mut().zip(&second).for_each(|(a, b)| *a = pairs(a, b));
                    }
                    for (line, at) in lines.iter().zip(&places[place..]) {
                        if let Some(at) = at {
                            weights[(before + at * steps[block] + step) * blocks + own] = *line;
                        }
                    }
                }
            }
        });
        let offset = |tap: &super::plan::Tap| (tap.row * plan.from.columns + tap.column) * F::WORDS;
        Self { taps: phase.taps.iter().map(offset).collect(), weights }
    }
}

/// One register of weights for two inputs each: bf16 pairs, the first in the lower half.
fn pairs(a: &Line, b: &Line) -> Line {
    let half = |x: f32| u32::from(half::bf16::from_f32(x).to_bits());
    Line(std::array::from_fn(|i| f32::from_bits(half(a.0[i]) | half(b.0[i]) << 16)))
}

/// The blocked form of a side, for callers that hold only a geometry.
pub fn sides(g: &Geometry) -> (Blocked, Blocked) {
    (Blocked::input(g), Blocked::output(g))
}
