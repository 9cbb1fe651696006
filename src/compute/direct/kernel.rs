//! One convolution of one picture, in one direction: the plan, the weights in the order in which the tiles read them,
//! and the walk over phases, output channels, rows and tiles
//!
//! A few input blocks are taken at a time, so that their weights stay in the first-level cache for the whole picture;
//! the sums wait in the output, which is in the second-level cache. In bf16 there is no room for sums in the output, and
//! half the weights: all blocks are taken at once.

use super::super::conv::Geometry;
use super::layout::{Blocked, HalfLine, LANES, Line};
use super::plan::{Direction, Phase, Plan};
use rayon::prelude::*;
use super::tile::{self, Tile, WIDEST, WORDS_BF16, WORDS_F32};

/// Bytes of weights that are kept in the first-level cache while a picture passes.
const FIRST_LEVEL: usize = 24 << 10;

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
    /// One weight register: `outs` outputs of 16, for each as many inputs as a step takes.
    fn weights(line: &mut Line, outs: usize, get: impl Fn(usize, usize) -> f32);
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

    fn weights(line: &mut Line, outs: usize, get: impl Fn(usize, usize) -> f32) {
        line.0[..outs].iter_mut().enumerate().for_each(|(o, w)| *w = get(o, 0));
    }

    unsafe fn tile(t: &Tile, blocks: usize, step: usize, width: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe {
            match (blocks, step) {
                (2, 1) => tile::f32_tile::<2, 1>(t, width),
                (2, _) => tile::f32_tile::<2, 2>(t, width),
                (_, 1) => tile::f32_tile::<1, 1>(t, width),
                _ => tile::f32_tile::<1, 2>(t, width),
            }
        }
    }
}

impl Format for HalfLine {
    const WORDS: usize = WORDS_BF16;
    const CHANNELS: usize = 2;
    const PAUSES: bool = false;

    fn weights(line: &mut Line, outs: usize, get: impl Fn(usize, usize) -> f32) {
        let half = |o, i| u32::from(half::bf16::from_f32(get(o, i)).to_bits());
        line.0[..outs].iter_mut().enumerate().for_each(|(o, w)| *w = f32::from_bits(half(o, 0) | half(o, 1) << 16));
    }

    unsafe fn tile(t: &Tile, blocks: usize, step: usize, width: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe {
            match (blocks, step) {
                (2, 1) => tile::bf16_tile::<2, 1>(t, width),
                (2, _) => tile::bf16_tile::<2, 2>(t, width),
                (_, 1) => tile::bf16_tile::<1, 1>(t, width),
                _ => tile::bf16_tile::<1, 2>(t, width),
            }
        }
    }
}

/// One direction of a convolution with these weights.
pub struct Kernel<F> {
    pub plan: Plan,
    /// Multiply-add steps of each input block.
    steps: Vec<usize>,
    phases: Vec<Packed>,
    format: std::marker::PhantomData<F>,
}

/// What the tiles of one phase read: for each pair of output blocks, input block, tap and step one or two registers.
struct Packed {
    taps: Vec<usize>,
    weights: Vec<Line>,
}

impl<F: Format> Kernel<F> {
    /// `w` is `[O, I, KH, KW]`; `absolute` takes |w|. The geometry must pass [`super::fits`].
    pub fn new(g: &Geometry, w: &[f32], direction: Direction, absolute: bool) -> Self {
        let plan = Plan::new(g, direction);
        let channels = |block: usize| (plan.from.channels - block * LANES).min(LANES);
        let steps: Vec<usize> = (0..plan.from.blocks()).map(|b| channels(b).div_ceil(F::CHANNELS)).collect();
        let phases = plan.phases.iter().map(|phase| Packed::new::<F>(g, w, &plan, phase, &steps, direction, absolute));
        let phases = phases.collect();
        Self { plan, steps, phases, format: std::marker::PhantomData }
    }

    /// One picture. Returns the sum of squares of the outputs. The border of `y` is not touched.
    pub fn run(&self, x: &[F], y: &mut [F], finish: Finish) -> f64 {
        let plan = &self.plan;
        assert!(x.len() >= plan.from.lines() && y.len() >= plan.to.lines(), "buffers of the wrong size");
        assert!(finish.mask.is_none_or(|m| m.len() >= plan.to.lines()));
        assert!(finish.bias.is_none_or(|b| b.len() >= plan.to.blocks()));
        plan.phases.iter().zip(&self.phases).map(|(phase, packed)| self.phase(phase, packed, x, y, &finish)).sum()
    }

    fn phase(&self, phase: &Phase, packed: &Packed, x: &[F], y: &mut [F], finish: &Finish) -> f64 {
        let (from, to) = (&self.plan.from, &self.plan.to);
        let (outs, total) = (to.blocks(), self.steps.iter().sum::<usize>());
        let per_block = packed.taps.len() * 2 * LANES / F::CHANNELS;
        let chunk = if F::PAUSES { (FIRST_LEVEL / 64 / per_block.max(1)).max(1) } else { self.steps.len() };
        let parts = phase.count.1.div_ceil(WIDEST);
        let mut squares = 0.0;
        for out in (0..outs).step_by(2) {
            let blocks = (outs - out).min(2);
            let group = out * total * packed.taps.len();
            let mut done = 0;
            for first in (0..self.steps.len()).step_by(chunk) {
                let steps = &self.steps[first..(first + chunk).min(self.steps.len())];
                let w = group + done * packed.taps.len() * blocks;
                done += steps.iter().sum::<usize>();
                for row in 0..phase.count.0 {
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
                        // weights were packed in this order; `fits` has seen to the processor and the steps.
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
                                y: y.as_mut_ptr().add(line).cast(),
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
        direction: Direction,
        absolute: bool,
    ) -> Self {
        let (ins, outs, area) = (plan.from.channels, plan.to.channels, g.kernel.0 * g.kernel.1);
        // Distance in w between neighbouring outputs and neighbouring inputs of this direction.
        let (out_step, in_step) = match direction {
            Direction::Forward => (ins * area, area),
            Direction::Transposed => (area, outs * area),
        };
        let value = |w: f32| if absolute { w.abs() } else { w };
        let per_block = phase.taps.len() * steps.iter().sum::<usize>();
        let mut weights = vec![Line::default(); per_block * plan.to.blocks()];
        weights.par_chunks_mut((per_block * 2).max(1)).enumerate().for_each(|(pair, weights)| {
            let blocks = weights.len() / per_block;
            let mut lines = weights.chunks_mut(blocks);
            for (block, steps) in steps.iter().enumerate() {
                for tap in &phase.taps {
                    for (step, lines) in lines.by_ref().take(*steps).enumerate() {
                        let input = block * LANES + step * F::CHANNELS;
                        for (own, line) in lines.iter_mut().enumerate() {
                            let first = (pair * 2 + own) * LANES;
                            let at = tap.ky * g.kernel.1 + tap.kx + first * out_step + input * in_step;
                            let inputs = (ins - input).min(F::CHANNELS);
                            F::weights(line, (outs - first).min(LANES), |o, i| {
                                if i < inputs { value(w[at + o * out_step + i * in_step]) } else { 0.0 }
                            });
                        }
                    }
                }
            }
        });
        let offset = |tap: &super::plan::Tap| (tap.row * plan.from.columns + tap.column) * F::WORDS;
        Self { taps: phase.taps.iter().map(offset).collect(), weights }
    }
}

/// The blocked form of a side, for callers that hold only a geometry.
pub fn sides(g: &Geometry) -> (Blocked, Blocked) {
    (Blocked::input(g), Blocked::output(g))
}
