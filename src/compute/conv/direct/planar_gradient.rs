//! The kernel's gradient of a convolution of few channels, on planes
//!
//! ```text
//! dw[o, i, k] += sum over places p of  y[o, p] x[i, p + k - padding]
//! ```
//!
//! Neighbouring places share a register; a few outputs by a few taps are summed at a time over a picture. The lanes are
//! added up once, at the end of the batch.

use super::planar::{sides, taps};
use super::planes::Planes;
use crate::compute::conv::Geometry;
use crate::compute::simd::dispatch::run;
use crate::compute::simd::form::{Form, present};
use crate::compute::simd::lines::{LANES, Line};
use crate::compute::simd::register::Register;
use std::arch::x86_64::*;

/// Outputs and taps in a tile.
fn largest() -> (usize, usize) {
    match present() {
        Form::Avx2 => (3, 3),
        Form::Avx512 => (4, 6),
    }
}

/// Sums of one or more pictures' gradients: for each output and tap a register, in a line that it may not fill.
pub struct PlanarGradient {
    pub x: Planes,
    y: Planes,
    taps: Vec<isize>,
    sums: Vec<Line>,
}

impl PlanarGradient {
    /// The geometry must pass [`super::planar::suits`].
    pub fn new(g: &Geometry) -> Self {
        let (x, y) = sides(g);
        let padding = g.window.padding;
        let taps = taps(&x, g.kernel, g.channels_in, (padding, padding));
        Self { x, y, sums: vec![Line::default(); g.channels_out * taps.len()], taps }
    }

    /// Adds the gradient of one picture times `scale`: `x` bordered, `y` as it is.
    pub fn add(&mut self, x: &[f32], y: &[f32], scale: f32) {
        assert!(x.len() >= self.x.lines() * LANES && y.len() >= self.y.numbers(), "buffers of the wrong size");
        let (outputs, taps) = largest();
        for output in (0..self.y.channels).step_by(outputs) {
            for tap in (0..self.taps.len()).step_by(taps) {
                let size = ((self.y.channels - output).min(outputs), (self.taps.len() - tap).min(taps));
                // SAFETY: `taps` keeps inside the bordered x, the lanes' masks inside y, asserted above.
                unsafe { self.tile_of(size, (output, tap), x.as_ptr(), y.as_ptr(), scale) };
            }
        }
    }

    /// The tile of so many outputs and taps, from these on.
    ///
    /// # Safety
    /// `x` and `y` are pictures of the geometry.
    unsafe fn tile_of(
        &mut self,
        size: (usize, usize),
        first: (usize, usize),
        x: *const f32,
        y: *const f32,
        scale: f32,
    ) {
        macro_rules! pick {
            ($register:ty, $($o:literal: $($taps:literal)*),*) => {
                match size {
                    $($(($o, $taps) => run::<$register, ()>(
                        #[inline(always)]
                        || tile::<$register, $o, $taps>(self, first, x, y, scale),
                    ),)*)*
                    (outputs, taps) => unreachable!("a tile of {outputs} outputs by {taps} taps"),
                }
            };
        }
        // SAFETY: the caller's promise.
        unsafe {
            match present() {
                Form::Avx512 => pick!(__m512, 1: 1 2 3 4 5 6, 2: 1 2 3 4 5 6, 3: 1 2 3 4 5 6, 4: 1 2 3 4 5 6),
                Form::Avx2 => pick!(__m256, 1: 1 2 3, 2: 1 2 3, 3: 1 2 3),
            }
        }
    }

    /// Adds another's sums.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.sums.iter_mut().zip(&other.sums) {
            own.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own += other);
        }
    }

    /// Adds the sums to `w` `[O, I, KH, KW]`.
    pub fn add_to(&self, w: &mut [f32]) {
        w.iter_mut().zip(&self.sums).for_each(|(w, sum)| *w += sum.0.iter().sum::<f32>());
    }
}

#[inline(always)]
unsafe fn tile<R: Register, const NO: usize, const NT: usize>(
    all: &mut PlanarGradient,
    (output, tap): (usize, usize),
    x: *const f32,
    y: *const f32,
    scale: f32,
) {
    let (from, to) = (&all.x, &all.y);
    let plane = to.height * to.width;
    let mut taps = [0; NT];
    taps.copy_from_slice(&all.taps[tap..tap + NT]);
    // SAFETY: the caller's promise, see `add`.
    unsafe {
        let mut sums = [[R::zero(); NT]; NO];
        for row in 0..to.height {
            for part in 0..to.parts() {
                let lanes = to.kept(part);
                let x = x.add(row * from.columns + LANES + part * R::LANES);
                let y = y.add(output * plane + row * to.width + part * R::LANES);
                let mut outs = [R::zero(); NO];
                for (o, out) in outs.iter_mut().enumerate() {
                    *out = R::load_some(y.add(o * plane), lanes);
                }
                for t in 0..NT {
                    let input = R::load_some(x.offset(taps[t]), lanes);
                    for o in 0..NO {
                        sums[o][t] = outs[o].fma(input, sums[o][t]);
                    }
                }
            }
        }
        let scale = R::all(scale);
        for (o, sums) in sums.iter().enumerate() {
            for (t, sum) in sums.iter().enumerate() {
                let to = all.sums[(output + o) * all.taps.len() + tap + t].0.as_mut_ptr();
                sum.fma(scale, R::load(to)).store(to);
            }
        }
    }
}
