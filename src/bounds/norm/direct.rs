//! Power iteration of a convolution in f32 by direct kernels: all iterations of a sample in one core's cache, mask, scaling
//! and norm in the convolution's own epilogue
//!
//! ```text
//! v = rows ? W u / ||u|| : 0        u' = columns ? W^T v / ||v|| : 0        sigma = ||u'||
//! ```
//!
//! A normalised vector is never written: its norm enters the next product as a factor. In bf16 (see [`Arithmetic`]) all
//! but the last product of a fixed number of iterations; with a tolerance, until the vector moves by no more than bf16
//! can tell, and f32 from there on. The last product is in f32 either way, so sigma and u are exact for the v that
//! comes with them. What leaves f32's comfortable range is done again by the careful path (`cpu`).

use super::options::{Arithmetic, PowerOptions};
use super::vectors::Sample;
use crate::base::interrupt;
use crate::compute::conv::Geometry;
use crate::compute::conv::direct;
use crate::compute::conv::direct::pair::Side;
use crate::compute::conv::direct::passes::{as_halves, distance, from_half, squares, to_half};
use crate::compute::conv::direct::{Direction, Finish, HalfLine, Kernel, Line, Pair, with_lines};
use crate::compute::simd::form::bf16_available;
use std::mem::MaybeUninit;

/// Sums of squares outside of this are left to the slower, careful path.
const COMFORTABLE: std::ops::Range<f64> = 1e-20..1e30;
/// A step of the vector below this is rounding, in bf16; and how often it is looked at.
const BF16_STEP: f64 = 6e-3;
const BF16_LOOK: usize = 8;

/// One convolution, ready to iterate, where a direct kernel covers the shape and the processor.
pub struct Direct(Option<Kernels>);

/// Memory for one sample's vector.
type Room<'a> = &'a mut [MaybeUninit<f32>];

struct Kernels {
    pair: Pair,
    half: Option<(Kernel<HalfLine>, Kernel<HalfLine>)>,
    x: Side,
    y: Side,
    alone: bool,
}

/// One sample's masks, in the form of the sides.
#[derive(Default)]
struct Masks {
    columns: Option<Vec<u16>>,
    rows: Option<Vec<u16>>,
}

impl Direct {
    pub const NONE: Self = Self(None);

    /// `alone`: one sample is all there is, so its products are shared among the threads.
    pub fn new(g: &Geometry, w: &[f32], arithmetic: Arithmetic, alone: bool) -> Self {
        Self(direct::fits(g).then(|| Kernels::new(g, w, arithmetic, alone)))
    }

    /// Iterate one sample from `start`; the vectors come to be in `u` and `v`, all of them. `None`, and nothing written: there
    /// is no direct kernel, or the numbers are too small or large for f32's sums of squares, or zero, or NaN.
    pub fn run(
        &self,
        start: Option<&[f32]>,
        (u, v): (Option<Room>, Option<Room>),
        (columns, rows): (Option<&[u8]>, Option<&[u8]>),
        options: PowerOptions,
    ) -> Option<Sample> {
        self.0.as_ref()?.run(start?, u?, v?, columns, rows, options)
    }
}

impl Kernels {
    fn new(g: &Geometry, w: &[f32], arithmetic: Arithmetic, alone: bool) -> Self {
        let pair = Pair::new(g, w);
        // On planes f32 is as fast as bf16 in lines that are mostly empty.
        let lines = matches!(pair, Pair::Lines { .. });
        let half = (lines && arithmetic == Arithmetic::Bf16 && bf16_available())
            .then(|| (Kernel::new(g, w, Direction::Forward, false), Kernel::new(g, w, Direction::Transposed, false)));
        let (x, y) = pair.sides();
        Self { pair, half, x, y, alone }
    }

    fn run(
        &self,
        start: &[f32],
        u: Room,
        v: Room,
        columns: Option<&[u8]>,
        rows: Option<&[u8]>,
        options: PowerOptions,
    ) -> Option<Sample> {
        let masks = Masks { columns: columns.map(|m| self.x.mask(m)), rows: rows.map(|m| self.y.mask(m)) };
        let (x, y) = (self.x.lines(), self.y.lines());
        with_lines([x, x, y], |[a, next, b]| {
            self.y.clear(b);
            self.x.pack(start, masks.columns.as_deref(), a);
            let start = norm(squares(a))?;
            let (ended, left, right) = match &self.half {
                Some(half) => self.run_half(half, a, next, b, start, &masks, options)?,
                None => self.run_f32(a, next, b, start, &masks, options, 0)?,
            };
            self.x.unpack(a, (1.0 / right) as f32, u);
            self.y.unpack(b, (1.0 / left) as f32, v);
            Some(ended)
        })
    }

    /// The norm of `kept ? W x / norm : 0`, which comes to be in `y`; or with the transpose of W.
    fn product(
        &self,
        direction: Direction,
        x: &mut [Line],
        y: &mut [Line],
        by: f64,
        mask: &Option<Vec<u16>>,
    ) -> Option<f64> {
        norm(self.pair.product(direction, x, y, (1.0 / by) as f32, mask.as_deref(), self.alone))
    }

    /// The same in bf16.
    fn product_half(
        &self,
        kernel: &Kernel<HalfLine>,
        x: &[HalfLine],
        y: &mut [HalfLine],
        by: f64,
        mask: &Option<Vec<u16>>,
    ) -> Option<f64> {
        let finish = Finish { bias: None, scale: Some((1.0 / by) as f32), mask: mask.as_deref() };
        norm(if self.alone { kernel.run_split(x, y, finish) } else { kernel.run(x, y, finish) })
    }

    /// From `a` with norm `nu`, after `done` iterations. Ends with u in `a` and v in `b`; returns their norms last.
    #[expect(clippy::too_many_arguments, reason = "three buffers and what to do with them")]
    fn run_f32(
        &self,
        a: &mut [Line],
        next: &mut [Line],
        b: &mut [Line],
        mut nu: f64,
        masks: &Masks,
        options: PowerOptions,
        done: usize,
    ) -> Option<(Sample, f64, f64)> {
        let mut nv = 1.0;
        let mut ended = Sample { sigma: 0.0, iterations: done as u32, converged: false };
        if options.tolerance.is_some() {
            self.x.clear(next);
        }
        for _ in done..options.iterations {
            if interrupt::requested() {
                break;
            }
            nv = self.product(Direction::Forward, a, b, nu, &masks.rows)?;
            ended.iterations += 1;
            let Some(tolerance) = options.tolerance else {
                nu = self.product(Direction::Transposed, b, a, nv, &masks.columns)?;
                continue;
            };
            let new = self.product(Direction::Transposed, b, next, nv, &masks.columns)?;
            let before = std::mem::replace(&mut nu, new);
            let step = distance(a, (1.0 / before) as f32, next, (1.0 / nu) as f32);
            a.copy_from_slice(next);
            ended.converged = step <= tolerance;
            if ended.converged {
                break;
            }
        }
        ended.sigma = nu;
        Some((ended, nv, nu))
    }

    /// The same with products in bf16 as far as the module's first lines say.
    #[expect(clippy::too_many_arguments, reason = "three buffers and what to do with them")]
    fn run_half(
        &self,
        (forward, adjoint): &(Kernel<HalfLine>, Kernel<HalfLine>),
        a: &mut [Line],
        next: &mut [Line],
        b: &mut [Line],
        mut nu: f64,
        masks: &Masks,
        options: PowerOptions,
    ) -> Option<(Sample, f64, f64)> {
        let (x, y) = (self.x.lines(), self.y.lines());
        let mut done = 0;
        {
            let (ah, old) = as_halves(next).split_at_mut(x);
            let (bh, _) = as_halves(b).split_at_mut(y);
            // SAFETY: there are bf16 kernels only where the processor has AVX512-BF16.
            unsafe { to_half(a, ah) };
            bh.fill(HalfLine::default());
            while done + 1 < options.iterations && !interrupt::requested() {
                let look = options.tolerance.is_some() && done % BF16_LOOK == BF16_LOOK - 1;
                if look {
                    old[..x].copy_from_slice(ah);
                }
                let nv = self.product_half(forward, ah, bh, nu, &masks.rows)?;
                let new = self.product_half(adjoint, bh, ah, nv, &masks.columns)?;
                let before = std::mem::replace(&mut nu, new);
                done += 1;
                if look && half_distance(&old[..x], before, ah, nu) <= BF16_STEP {
                    break;
                }
            }
            if options.tolerance.is_none() && done + 1 == options.iterations {
                self.product_half(forward, ah, bh, nu, &masks.rows)?;
                // A copy: the two share their memory.
                let v = bh[..y].to_vec();
                from_half(&v, b);
                // v is what bf16 holds; its own norm makes sigma exact for it.
                let nv = norm(squares(b))?;
                nu = self.product(Direction::Transposed, b, a, nv, &masks.columns)?;
                let ended = Sample { sigma: nu, iterations: options.iterations as u32, converged: false };
                return Some((ended, nv, nu));
            }
            from_half(ah, a);
        }
        nu = norm(squares(a))?;
        self.y.clear(b);
        self.run_f32(a, next, b, nu, masks, options, done)
    }
}

/// The root of a sum of squares that f32 could hold without loss.
fn norm(squares: f64) -> Option<f64> {
    COMFORTABLE.contains(&squares).then(|| squares.sqrt())
}

fn half_distance(a: &[HalfLine], norm_a: f64, b: &[HalfLine], norm_b: f64) -> f64 {
    let wide = |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16));
    let square = |(a, b): (&u16, &u16)| (wide(*a) / norm_a - wide(*b) / norm_b).powi(2);
    a.iter().zip(b).map(|(a, b)| a.0.iter().zip(&b.0).map(square).sum::<f64>()).sum::<f64>().sqrt()
}
