//! Convolutions of a few channels on one side, a network's first layer above all: planes instead of lines
//!
//! ```text
//! y[o, p] = sum over i, k of  w[o, i, k] x[i, p + k - padding]          stride 1
//! ```
//!
//! Lines of 16 channels are mostly empty where there are one or three. Here a register holds neighbouring places of one
//! channel, weights are broadcast, and a few outputs by a few registers of places are summed at a time. The transposed
//! convolution is the same with the kernel turned round, its channels exchanged and padding K - 1 - p.

use super::plan::Direction;
use super::planes::Planes;
use crate::compute::conv::Geometry;
use crate::compute::elementwise::loops::Shared;
use crate::compute::simd::dispatch::run;
use crate::compute::simd::form::{Form, present};
use crate::compute::simd::lines::LANES;
use crate::compute::simd::register::Register;
use rayon::prelude::*;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Most channels on the narrow side.
const FEW: usize = 8;
/// Outputs in a tile.
fn outputs() -> usize {
    match present() {
        Form::Avx2 => 2,
        Form::Avx512 => 4,
    }
}

/// Registers of places in a tile of so many outputs.
fn places(outputs: usize) -> usize {
    match (present(), outputs) {
        (Form::Avx2, 2) | (Form::Avx512, 4) => 6,
        (Form::Avx2 | Form::Avx512, _) => 8,
    }
}

/// Parts of a picture that the threads share.
const SPLIT: usize = 8;

/// Do planes suit this convolution, in both directions? It must pass [`super::fits()`] as well.
pub fn suits(g: &Geometry) -> bool {
    let (p, s) = (g.window.padding, g.window.stride);
    // At least three quarters of the lanes at work.
    let full = |width: usize| 4 * width >= 3 * width.next_multiple_of(LANES);
    let few = g.channels_in.min(g.channels_out) <= FEW;
    few && s == 1 && p < g.kernel.0.min(g.kernel.1) && full(g.input.1) && full(g.output.1)
}

/// What happens to each output: `kept ? scale (sum + bias) : 0`.
#[derive(Clone, Copy)]
pub struct Finish<'a> {
    pub bias: Option<&'a [f32]>,
    pub scale: f32,
    /// From [`Planes::mask`] of the output side.
    pub mask: Option<&'a [u16]>,
}

/// One direction of a convolution with these weights.
pub struct Planar {
    pub from: Planes,
    pub to: Planes,
    /// From the register of the same place to each tap's input, input channel by input channel.
    taps: Vec<isize>,
    /// For each group of outputs and each tap the outputs' weights.
    weights: Vec<f32>,
    places: Vec<Place>,
}

/// A register of places: where its taps are counted from, where it goes with and without a border, which lanes count.
#[derive(Clone, Copy)]
struct Place {
    from: usize,
    bordered: usize,
    bare: usize,
    lanes: u16,
}

/// The output side's registers: in a bordered picture, or a bare one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Border {
    With,
    Without,
}

impl Planar {
    /// `w` is `[O, I, KH, KW]`. The geometry must pass [`suits`].
    pub fn new(g: &Geometry, w: &[f32], direction: Direction) -> Self {
        assert!(suits(g));
        let (x, y) = sides(g);
        let (kh, kw) = g.kernel;
        let (ins, outs) = (g.channels_in, g.channels_out);
        let forward = direction == Direction::Forward;
        let (from, to) = if forward { (x, y) } else { (y, x) };
        let weight = |o: usize, i: usize, ky: usize, kx: usize| {
            if forward {
                w[((o * ins + i) * kh + ky) * kw + kx]
            } else {
                w[((i * ins + o) * kh + kh - 1 - ky) * kw + kw - 1 - kx]
            }
        };
        let (ins, outs) = if forward { (ins, outs) } else { (outs, ins) };
        let mut weights = Vec::with_capacity(w.len());
        for first in (0..outs).step_by(outputs()) {
            for (i, ky, kx) in all(ins, kh, kw) {
                weights.extend((first..(first + outputs()).min(outs)).map(|o| weight(o, i, ky, kx)));
            }
        }
        let padding = |k: usize| if forward { g.window.padding } else { k - 1 - g.window.padding };
        let place = |place| Place {
            from: place / to.parts() * from.columns + LANES + place % to.parts() * to.lanes,
            bordered: to.at(place),
            bare: to.bare(place),
            lanes: to.kept(place),
        };
        let places = (0..to.places()).map(place).collect();
        Self { from, to, taps: taps(&from, g.kernel, ins, (padding(kh), padding(kw))), weights, places }
    }

    /// One picture, on this thread, into a bordered one, whose border is not touched. Returns the sum of squares.
    pub fn run(&self, x: &[f32], y: &mut [f32], finish: Finish) -> f64 {
        // SAFETY: no other range is at work.
        unsafe { self.range(0..self.to.places(), x, &room(y), Border::With, &finish) }
    }

    /// The same, its rows shared among the threads: for a batch of one.
    pub fn run_split(&self, x: &[f32], y: &mut [f32], finish: Finish) -> f64 {
        let (all, y) = (self.to.places(), room(y));
        // Always the same parts, so that the order of the sum does not depend on the number of threads.
        let part = all.div_ceil(SPLIT).next_multiple_of(places(1));
        let ranges: Vec<_> = (0..all).step_by(part).map(|from| from..(from + part).min(all)).collect();
        // SAFETY: ranges have places of their own.
        let sum = |range| unsafe { self.range(range, x, &y, Border::With, &finish) };
        ranges.into_par_iter().map(sum).collect::<Vec<_>>().iter().sum()
    }

    /// One picture into one without border; all of it is written.
    pub fn run_bare(&self, x: &[f32], y: &mut [MaybeUninit<f32>], finish: Finish) {
        // SAFETY: as in `run`.
        unsafe { self.range(0..self.to.places(), x, &Shared::new(y), Border::Without, &finish) };
    }

    /// Some registers of all channels.
    ///
    /// # Safety
    /// Nobody else writes these places.
    unsafe fn range(
        &self,
        range: std::ops::Range<usize>,
        x: &[f32],
        y: &Shared<MaybeUninit<f32>>,
        border: Border,
        finish: &Finish,
    ) -> f64 {
        assert!(x.len() >= self.from.lines() * LANES);
        assert!(finish.bias.is_none_or(|b| b.len() >= self.to.channels));
        assert!(finish.mask.is_none_or(|m| m.len() >= self.to.channels * self.to.places()));
        let to = &self.to;
        let outs = to.channels;
        let plane = if border == Border::With { to.rows * to.columns } else { to.height * to.width };
        assert!(y.holds(outs * plane), "a picture of the wrong size");
        let mut squares = 0.0;
        for group in (0..outs).step_by(outputs()) {
            let count = (outs - group).min(outputs());
            for first in range.clone().step_by(places(count)) {
                let width = (range.end - first).min(places(count));
                let tile = Tile {
                    x: x.as_ptr(),
                    taps: &self.taps,
                    places: &self.places[first..first + width],
                    border,
                    w: self.weights[group * self.taps.len()..].as_ptr(),
                    bias: finish.bias.map_or(std::ptr::null(), |b| b[group..].as_ptr()),
                    scale: finish.scale,
                    mask: finish.mask.map_or(std::ptr::null(), |m| m[group * to.places() + first..].as_ptr()),
                    mask_step: to.places(),
                    y: y.at(group * plane).cast(),
                    plane,
                };
                // SAFETY: `sides` and `taps` keep every register inside the bordered input; the masks keep inside the
                // output.
                squares += f64::from(unsafe { tile_of(&tile, count, width) });
            }
        }
        squares
    }
}

fn room(y: &mut [f32]) -> Shared<'_, MaybeUninit<f32>> {
    // SAFETY: the same memory; nothing here leaves any of it uninitialised.
    Shared::new(unsafe { std::slice::from_raw_parts_mut(y.as_mut_ptr().cast(), y.len()) })
}

/// Both sides of a convolution.
pub fn sides(g: &Geometry) -> (Planes, Planes) {
    let (p, k) = (g.window.padding, g.kernel.0);
    (Planes::new(g.channels_in, g.input, p, p), Planes::new(g.channels_out, g.output, k - 1 - p, k - 1 - p))
}

pub(super) fn all(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

/// Numbers from (row, column) of an output to each of its taps in the bordered input, whose border above is `padding` too.
pub(super) fn taps(
    from: &Planes,
    (kh, kw): (usize, usize),
    channels: usize,
    (top, left): (usize, usize),
) -> Vec<isize> {
    debug_assert_eq!(from.top, top);
    let (plane, columns) = (from.rows * from.columns, from.columns);
    all(channels, kh, kw).map(|(i, ky, kx)| (i * plane + ky * columns + kx) as isize - left as isize).collect()
}

struct Tile<'a> {
    x: *const f32,
    taps: &'a [isize],
    places: &'a [Place],
    border: Border,
    w: *const f32,
    bias: *const f32,
    scale: f32,
    mask: *const u16,
    mask_step: usize,
    y: *mut f32,
    plane: usize,
}

/// The tile of so many outputs and places. Returns the sum of squares.
///
/// # Safety
/// All places that it names lie in live memory.
unsafe fn tile_of(t: &Tile, outputs: usize, width: usize) -> f32 {
    macro_rules! pick {
        ($register:ty, $($o:literal: $($width:literal)*),*) => {
            match (outputs, width) {
                $($(($o, $width) => run::<$register, f32>(
                    #[inline(always)]
                    || tile::<$register, $o, $width>(t),
                ),)*)*
                _ => unreachable!("a tile of {outputs} outputs by {width} registers"),
            }
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        match present() {
            Form::Avx512 => {
                pick!(__m512, 1: 1 2 3 4 5 6 7 8, 2: 1 2 3 4 5 6 7 8, 3: 1 2 3 4 5 6 7 8, 4: 1 2 3 4 5 6)
            }
            Form::Avx2 => pick!(__m256, 1: 1 2 3 4 5 6 7 8, 2: 1 2 3 4 5 6),
        }
    }
}

#[inline(always)]
unsafe fn tile<R: Register, const NO: usize, const NV: usize>(t: &Tile) -> f32 {
    // SAFETY: the caller's promise, see `range`.
    unsafe {
        let mut sums = [[R::zero(); NV]; NO];
        let mut x = [t.x; NV];
        for (v, x) in x.iter_mut().enumerate() {
            *x = t.x.add(t.places[v].from);
        }
        let mut w = t.w;
        for tap in t.taps {
            let mut weights = [R::zero(); NO];
            for (o, weight) in weights.iter_mut().enumerate() {
                *weight = R::broadcast(w.add(o));
            }
            for v in 0..NV {
                let input = R::load(x[v].offset(*tap));
                for o in 0..NO {
                    sums[o][v] = weights[o].fma(input, sums[o][v]);
                }
            }
            w = w.add(NO);
        }
        let scale = R::all(t.scale);
        let mut squares = R::zero();
        for (o, sums) in sums.iter().enumerate() {
            let bias = R::all(if t.bias.is_null() { 0.0 } else { *t.bias.add(o) });
            for (v, sum) in sums.iter().enumerate() {
                let Place { bordered, bare, lanes, .. } = t.places[v];
                let to = if t.border == Border::With { bordered } else { bare };
                let keep = if t.mask.is_null() { lanes } else { lanes & *t.mask.add(o * t.mask_step + v) };
                let value = sum.add(bias).mul(scale).keep(keep);
                squares = value.fma(value, squares);
                value.store_some(t.y.add(o * t.plane + to), lanes);
            }
        }
        squares.sum()
    }
}
