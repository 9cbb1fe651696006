//! The kernel's gradient of a convolution of few channels, on planes
//!
//! ```text
//! dw[o, i, k] += sum over places p of  y[o, p] x[i, p + k - padding]
//! ```
//!
//! 16 neighbouring places share a register; 4 outputs by 6 taps are summed at a time over a picture. The lanes are added up
//! once, at the end of the batch.

use super::super::conv::Geometry;
use super::layout::{LANES, Line};
use super::planar::{sides, taps};
use super::planes::Planes;
use std::arch::x86_64::*;

const OUTPUTS: usize = 4;
const TAPS: usize = 6;

/// Sums of one or more pictures' gradients: for each output and tap a register.
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
        for output in (0..self.y.channels).step_by(OUTPUTS) {
            for tap in (0..self.taps.len()).step_by(TAPS) {
                let tile = tile_of((self.y.channels - output).min(OUTPUTS), (self.taps.len() - tap).min(TAPS));
                // SAFETY: `taps` keeps inside the bordered x, the lanes' masks inside y, asserted above; `fits` has seen to
                // the processor.
                unsafe { tile(self, output, tap, x.as_ptr(), y.as_ptr(), scale) };
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

type Tile = unsafe fn(&mut PlanarGradient, usize, usize, *const f32, *const f32, f32);

/// The tile for so many outputs and taps.
fn tile_of(outputs: usize, taps: usize) -> Tile {
    macro_rules! pick {
        ($($o:literal)*) => {
            match (outputs, taps) {
                $(($o, 1) => tile::<$o, 1>, ($o, 2) => tile::<$o, 2>, ($o, 3) => tile::<$o, 3>,
                ($o, 4) => tile::<$o, 4>, ($o, 5) => tile::<$o, 5>, ($o, 6) => tile::<$o, 6>,)*
                _ => unreachable!("a tile has 1 to 4 outputs by 1 to 6 taps"),
            }
        };
    }
    pick!(1 2 3 4)
}

#[inline(never)]
#[target_feature(enable = "avx512f")]
unsafe fn tile<const NO: usize, const NT: usize>(
    all: &mut PlanarGradient,
    output: usize,
    tap: usize,
    x: *const f32,
    y: *const f32,
    scale: f32,
) {
    let (from, to) = (&all.x, &all.y);
    let plane = to.height * to.width;
    let mut sums = [[_mm512_setzero_ps(); NT]; NO];
    let taps: [isize; NT] = std::array::from_fn(|t| all.taps[tap + t]);
    // SAFETY: the caller's promise, see `add`.
    unsafe {
        for row in 0..to.height {
            for part in 0..to.parts() {
                let lanes = to.lanes(part);
                let x = x.add(row * from.columns + (part + 1) * LANES);
                let y = y.add(output * plane + row * to.width + part * LANES);
                let mut outs = [_mm512_setzero_ps(); NO];
                for (o, out) in outs.iter_mut().enumerate() {
                    *out = _mm512_maskz_loadu_ps(lanes, y.add(o * plane));
                }
                for t in 0..NT {
                    let input = _mm512_maskz_loadu_ps(lanes, x.offset(taps[t]));
                    for o in 0..NO {
                        sums[o][t] = _mm512_fmadd_ps(outs[o], input, sums[o][t]);
                    }
                }
            }
        }
        let scale = _mm512_set1_ps(scale);
        for (o, sums) in sums.iter().enumerate() {
            for (t, sum) in sums.iter().enumerate() {
                let to = all.sums[(output + o) * all.taps.len() + tap + t].0.as_mut_ptr();
                _mm512_store_ps(to, _mm512_fmadd_ps(*sum, scale, _mm512_load_ps(to)));
            }
        }
    }
}
