//! Lines of a function bent at 0, slope a below and b above, over boxes from l to u
//!
//! ```text
//! chord     l < 0 < u: slope s = (b u - a l) / (u - l), offset (b - s) u     else the function itself: a or b, offset 0
//! tangent   through 0: b where u > -l, a elsewhere; a constant
//! gradient  ds/dl = (b - a) u / (u - l)^2      ds/du = -(b - a) l / (u - l)^2
//! ```

use crate::compute::autograd::{Argument, Arrived, Node, value_of};
use crate::compute::element::{Element, Host, for_dtype};
use crate::compute::gpu::{Arg, Blocks, Source, has_kernel, launch, room};
use crate::compute::simd::wide_loop;
use crate::compute::unwritten::{unwritten, written};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Elements that one task works on.
const PART: usize = 1 << 14;

/// Slope and offset of the chord, and the slope of the tangent, each of the boxes' shape. A NaN of a box is one of all.
pub fn bent(lower: &Tensor, upper: &Tensor, a: f64, b: f64) -> Result<[Tensor; 3]> {
    if lower.dims() != upper.dims() || lower.dtype() != upper.dtype() {
        bail!("lines: a box from {:?} to {:?}", lower.dims(), upper.dims());
    }
    let (lower, upper) = (lower.contiguous()?, upper.contiguous()?);
    let arguments = [&lower, &upper].map(Argument::of).to_vec();
    let held = Held { ends: [lower.detach(), upper.detach()], slopes: [a, b] };
    let [slope, offset, tangent] = held.forward()?;
    let node = Node::argument("lines", arguments, move |arrived: Arrived, _: &[bool]| {
        let [of_slope, of_offset] = arrived.split([0..1, 1..2])?;
        let [low, high] = held.backward([of_slope, of_offset])?;
        Ok(vec![Some(low), Some(high)])
    });
    match node {
        Argument::Constant => Ok([slope, offset, tangent]),
        // Two values of one node.
        node => Ok([value_of(&node.rows(0..1), slope)?, value_of(&node.rows(1..2), offset)?, tangent]),
    }
}

struct Held {
    ends: [Tensor; 2],
    slopes: [f64; 2],
}

/// Both of a box's ends with a NaN if one is.
#[inline(always)]
fn broken<T: Element>(l: T, u: T) -> T {
    (l + u) * T::ZERO
}

#[inline(always)]
fn lines_of<T: Element>(l: T, u: T, a: T, b: T) -> (T, T, T) {
    let none = broken(l, u);
    let crosses = (l < T::ZERO) & (u > T::ZERO);
    let own = if u > T::ZERO { b } else { a };
    let width = if crosses { u - l } else { T::ONE };
    let slope = if crosses { (b * u - a * l) / width } else { own };
    let offset = if crosses { (b - slope) * u } else { T::ZERO };
    let tangent = if crosses { if u + l > T::ZERO { b } else { a } } else { own };
    (slope + none, offset + none, tangent + none)
}

#[inline(always)]
fn gradients_of<T: Element>([l, u]: [T; 2], [a, b]: [T; 2], [g, h]: [T; 2]) -> (T, T) {
    let crosses = (l < T::ZERO) & (u > T::ZERO);
    let width = if crosses { u - l } else { T::ONE };
    let slope = (b * u - a * l) / width;
    let by = (b - a) / (width * width);
    let (in_l, in_u) = (by * u, T::ZERO - by * l);
    let both = g - h * u;
    let (low, high) = (both * in_l, both * in_u + h * (b - slope));
    if crosses { (low, high) } else { (T::ZERO, T::ZERO) }
}

impl Held {
    fn forward(&self) -> Result<[Tensor; 3]> {
        let [lower, upper] = &self.ends;
        if has_kernel(lower) {
            let own = || room(lower.shape(), lower.dtype(), lower.device());
            let found = [own()?, own()?, own()?];
            let [slope, offset, tangent] = &found;
            let tensors = [lower, upper, slope, offset, tangent].map(Arg::Tensor);
            let args = [&tensors[..], &self.slopes.map(Arg::Number), &[Arg::Count(lower.elem_count())]].concat();
            launch(Source::Relaxed, "bent_forward", lower, Blocks::Elements(lower.elem_count()), &args)?;
            return Ok(found);
        }
        for_dtype!("lines", lower.dtype(), T => {
            let (l, u) = (Host::of(lower), Host::of(upper));
            let (l, u) = (l.slice::<T>()?, u.slice::<T>()?);
            let [a, b] = self.slopes.map(T::of);
            let mut rooms: [Vec<MaybeUninit<T>>; 3] = std::array::from_fn(|_| unwritten(l.len()));
            let [slopes, offsets, tangents] = &mut rooms;
            let parts = slopes.par_chunks_mut(PART).zip(offsets.par_chunks_mut(PART)).zip(tangents.par_chunks_mut(PART));
            parts.zip(l.par_chunks(PART)).zip(u.par_chunks(PART)).for_each(|((((s, o), t), l), u)| {
                wide_loop(#[inline(always)] || {
                    for i in 0..l.len() {
                        let (slope, offset, tangent) = lines_of(l[i], u[i], a, b);
                        s[i].write(slope);
                        o[i].write(offset);
                        t[i].write(tangent);
                    }
                });
            });
            let [s, o, t] = rooms;
            // SAFETY: every element has been written.
            let tensor = |room| Tensor::from_vec(unsafe { written(room) }, lower.shape(), lower.device());
            Ok([tensor(s)?, tensor(o)?, tensor(t)?])
        })
    }

    /// Of both ends, from those of slope and offset.
    fn backward(&self, arrived: [Option<Tensor>; 2]) -> Result<[Tensor; 2]> {
        let [lower, upper] = &self.ends;
        let whole = |g: Option<Tensor>| match g {
            Some(g) => g.reshape(lower.shape())?.contiguous(),
            None => lower.zeros_like(),
        };
        let [g, h] = arrived.map(whole);
        let (g, h) = (g?, h?);
        if has_kernel(lower) {
            let own = || room(lower.shape(), lower.dtype(), lower.device());
            let found = [own()?, own()?];
            let tensors = [lower, upper, &g, &h, &found[0], &found[1]].map(Arg::Tensor);
            let args = [&tensors[..], &self.slopes.map(Arg::Number), &[Arg::Count(lower.elem_count())]].concat();
            launch(Source::Relaxed, "bent_backward", lower, Blocks::Elements(lower.elem_count()), &args)?;
            return Ok(found);
        }
        for_dtype!("lines", lower.dtype(), T => {
            let [l, u, g, h] = [lower, upper, &g, &h].map(Host::of);
            let (l, u, g, h) = (l.slice::<T>()?, u.slice::<T>()?, g.slice::<T>()?, h.slice::<T>()?);
            let slopes = self.slopes.map(T::of);
            let mut rooms: [Vec<MaybeUninit<T>>; 2] = std::array::from_fn(|_| unwritten(l.len()));
            let [lows, highs] = &mut rooms;
            let parts = lows.par_chunks_mut(PART).zip(highs.par_chunks_mut(PART)).enumerate();
            parts.for_each(|(part, (low, high))| {
                let own = part * PART..part * PART + low.len();
                let (l, u, g, h) = (&l[own.clone()], &u[own.clone()], &g[own.clone()], &h[own]);
                wide_loop(#[inline(always)] || {
                    for i in 0..l.len() {
                        let (of_low, of_high) = gradients_of([l[i], u[i]], slopes, [g[i], h[i]]);
                        low[i].write(of_low);
                        high[i].write(of_high);
                    }
                });
            });
            let [low, high] = rooms;
            // SAFETY: every element has been written.
            let tensor = |room| Tensor::from_vec(unsafe { written(room) }, lower.shape(), lower.device());
            Ok([tensor(low)?, tensor(high)?])
        })
    }
}
