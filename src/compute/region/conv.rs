//! Ball and box through a convolution as one operation: both centres through W, the half-width through |W|, and where the
//! ball cuts the box
//!
//! ```text
//! center' = W center + b      c = W (lower + upper)/2 + b      h = |W| (upper - lower)/2
//! lower'  = max(c - h, center' - reach)        upper' = min(c + h, center' + reach)
//! ```
//!
//! `x` is `[3, B, I, H, W]`: center, lower, upper, and so is the result; reach is one number per sample and output
//! channel. A sample passes through one core's cache once, forward and backward. The gradient of `max` and `min` is
//! that of the side taken, at a tie the ball's (as in [`crate::compute::elementwise::clip`]); which one that was shows
//! in the result: lower' is center' - reach.

use crate::compute::autograd::tape::Tracked;
use crate::compute::conv::direct::batch::in_lines;
use crate::compute::conv::direct::kernel::sides;
use crate::compute::conv::direct::{
    Blocked, Direction, Finish, Gradient, Kernel, Line, fits, pack, pack_center_radius, unpack, unpack_ends, with_lines,
};
use crate::compute::conv::{Geometry, Window};
use crate::compute::element::Host;
use crate::compute::simd::dispatch::vectorised;
use crate::compute::simd::lines::LANES;
use crate::compute::unwritten::{unwritten, written};
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Most groups of samples whose kernel gradients are summed apart, fewer for large kernels: a matter of the sizes alone, so
/// that the order of the sum is too.
const GROUPS: usize = 16;
const FEWEST: usize = 4;
/// Numbers in the sums of all groups together.
const SUMS: usize = 4 << 20;

/// Is there a form for these arguments? Elsewhere the same is made of several operations.
pub fn covers(x: &Tensor, w: &Tensor, window: Window) -> Result<bool> {
    let on_cpu = x.device().is_cpu() && x.dtype() == DType::F32 && w.dtype() == DType::F32;
    Ok(on_cpu && fits(&geometry(x.dims(), w.dims(), window)?))
}

/// The region `x` `[3, B, I, H, W]` through the convolution `w` `[O, I, KH, KW]`. `offsets` is `[B + 1, O]`: the reach of the
/// ball for each sample, then the bias. [`covers`] must hold.
pub fn affine(x: &Tracked, w: &Tensor, offsets: &Tensor, window: Window) -> Result<Tracked> {
    let g = geometry(x.value().dims(), w.dims(), window)?;
    if offsets.dims() != [g.batch + 1, g.channels_out] {
        bail!("affine: offsets of shape {:?}, wanted {:?}", offsets.dims(), [g.batch + 1, g.channels_out]);
    }
    let (xs, ws, os) = (x.value().contiguous()?, w.contiguous()?.detach(), offsets.contiguous()?.detach());
    let y = {
        let [x, w, offsets] = [&xs, &ws, &os].map(Host::of);
        forward(&g, x.slice()?, w.slice()?, offsets.slice()?)
    };
    let y = Tensor::from_vec(y, (3, g.batch, g.channels_out, g.output.0, g.output.1), &Device::Cpu)?;
    let ys = y.clone();
    Ok(x.then("affine", y, w, offsets, move |gradient, wanted| {
        let gradient = gradient.tensor.contiguous()?;
        let [x, w, offsets, y, dy] = [&xs, &ws, &os, &ys, &gradient].map(Host::of);
        let found = Backward::new(&g, w.slice()?, offsets.slice()?);
        let found = found.run(x.slice()?, y.slice()?, dy.slice()?, wanted);
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu);
        let dx = if wanted { Some(tensor(found.x, &xs)?) } else { None };
        Ok((dx, Some(tensor(found.w, &ws)?), Some(tensor(found.offsets, &os)?)))
    }))
}

fn geometry(x: &[usize], w: &[usize], window: Window) -> Result<Geometry> {
    match (x, w) {
        (&[3, batch, i, h, width], &[o, wi, kh, kw]) => {
            Geometry::new("affine", (batch, i, h, width), (o, wi, kh, kw), window)
        }
        _ => bail!("affine: a region [3, B, I, H, W] and a kernel [O, I, KH, KW] are wanted, got {x:?} and {w:?}"),
    }
}

/// The three parts of some samples' numbers.
type Parts<'a> = [&'a [f32]; 3];
type Room<'a> = [&'a mut [MaybeUninit<f32>]; 3];

fn parts(values: &[f32]) -> Parts<'_> {
    let n = values.len() / 3;
    [&values[..n], &values[n..2 * n], &values[2 * n..]]
}

/// Center, lower, upper of each run of `n` numbers.
fn rooms(values: &mut [MaybeUninit<f32>], n: usize) -> impl Iterator<Item = Room<'_>> {
    let (center, rest) = values.split_at_mut(values.len() / 3);
    let (lower, upper) = rest.split_at_mut(rest.len() / 2);
    let ends = lower.chunks_mut(n).zip(upper.chunks_mut(n));
    center.chunks_mut(n).zip(ends).map(|(c, (l, u))| [c, l, u])
}

fn sample<'a>(parts: &Parts<'a>, at: usize, n: usize) -> Parts<'a> {
    parts.map(|part| &part[at * n..][..n])
}

fn forward(g: &Geometry, x: &[f32], w: &[f32], offsets: &[f32]) -> Vec<f32> {
    let kernel = Kernel::<Line>::new(g, w, Direction::Forward, false);
    let absolute = Kernel::<Line>::new(g, w, Direction::Forward, true);
    let (from, to) = sides(g);
    let bias = in_lines(&offsets[g.batch * g.channels_out..]);
    let mut y = unwritten(3 * g.batch * g.output_len());
    let tasks: Vec<Room> = rooms(&mut y, g.output_len()).collect();
    tasks.into_par_iter().enumerate().for_each(|(b, room)| {
        let reach = in_lines(&offsets[b * g.channels_out..][..g.channels_out]);
        let x = sample(&parts(x), b, g.input_len());
        with_lines([from.lines(), from.lines(), from.lines(), to.lines(), to.lines(), to.lines()], |buffers| {
            let [center, middle, half, y, c, h] = buffers;
            [&mut *center, middle, half].into_iter().for_each(|lines| from.clear_border(lines));
            let finish = Finish { bias: Some(&bias), ..Finish::default() };
            pack(&from, x[0], center);
            pack_center_radius(&from, x[1], x[2], middle, half);
            kernel.run(center, y, finish);
            kernel.run(middle, c, finish);
            absolute.run(half, h, Finish::default());
            vectorised(
                #[inline(always)]
                || meet(&to, &reach, y, c, h),
            );
            for (lines, room) in [y, c, h].into_iter().zip(room) {
                // SAFETY: each room is one picture.
                unsafe { unpack(&to, lines, 1.0, room.as_mut_ptr().cast()) };
            }
        });
    });
    // SAFETY: `unpack` has written every room.
    unsafe { written(y) }
}

/// (center, c, h) to (center, lower, upper), in place. A NaN on either side comes out as NaN.
#[inline(always)]
fn meet(layout: &Blocked, reach: &[Line], center: &[Line], c: &mut [Line], h: &mut [Line]) {
    let plane = layout.rows * layout.columns;
    for (block, reach) in reach.iter().enumerate() {
        let own = block * plane..(block + 1) * plane;
        for ((m, c), h) in center[own.clone()].iter().zip(&mut c[own.clone()]).zip(&mut h[own]) {
            for i in 0..LANES {
                let (low, high) = (m.0[i] - reach.0[i], m.0[i] + reach.0[i]);
                let (l, u) = (c.0[i] - h.0[i], c.0[i] + h.0[i]);
                c.0[i] = if l > low || l.is_nan() { l } else { low };
                h.0[i] = if u < high || u.is_nan() { u } else { high };
            }
        }
    }
}

/// What a backward pass gives.
struct Gradients {
    x: Vec<f32>,
    w: Vec<f32>,
    offsets: Vec<f32>,
}

struct Backward<'a> {
    g: &'a Geometry,
    from: Blocked,
    to: Blocked,
    w: &'a [f32],
    offsets: &'a [f32],
    adjoint: Kernel<Line>,
    absolute: Kernel<Line>,
}

/// What one group of samples gives: the two sums for the kernel, and for each sample the sums over places, reach then bias.
type Group = (Gradient, Gradient, Vec<f32>);

impl<'a> Backward<'a> {
    fn new(g: &'a Geometry, w: &'a [f32], offsets: &'a [f32]) -> Self {
        let (from, to) = sides(g);
        let kernel = |absolute| Kernel::new(g, w, Direction::Transposed, absolute);
        Self { g, from, to, w, offsets, adjoint: kernel(false), absolute: kernel(true) }
    }

    fn run(&self, x: &[f32], y: &[f32], gradient: &[f32], wanted: bool) -> Gradients {
        let (g, n) = (self.g, self.g.input_len());
        let per_group = g.batch.div_ceil((SUMS / (2 * g.weight_len())).clamp(FEWEST, GROUPS));
        let mut dx = unwritten(if wanted { 3 * g.batch * n } else { 0 });
        let mut tasks: Vec<Vec<Room>> = vec![];
        for (b, room) in rooms(&mut dx, n).enumerate() {
            if b % per_group == 0 {
                tasks.push(vec![]);
            }
            tasks.last_mut().expect("pushed above").push(room);
        }
        tasks.resize_with(g.batch.div_ceil(per_group), Vec::new);
        let groups: Vec<Group> = tasks
            .into_par_iter()
            .enumerate()
            .map(|(group, room)| {
                let samples = group * per_group..((group + 1) * per_group).min(g.batch);
                self.group(samples, room, parts(x), parts(y), parts(gradient))
            })
            .collect();
        let (mut dw, mut offsets) = (vec![0.0; g.weight_len()], vec![]);
        let mut bias = vec![0.0; g.channels_out];
        let mut groups = groups.into_iter();
        let (mut plain, mut absolute, mut all) = groups.next().expect("a batch has a sample");
        for (more, more_absolute, sums) in groups {
            plain.merge(&more);
            absolute.merge(&more_absolute);
            all.extend(sums);
        }
        plain.add_to(&mut dw, None);
        absolute.add_to(&mut dw, Some(self.w));
        for own in all.chunks(2 * g.channels_out) {
            offsets.extend(&own[..g.channels_out]);
            bias.iter_mut().zip(&own[g.channels_out..]).for_each(|(sum, own)| *sum += own);
        }
        offsets.extend(bias);
        // SAFETY: `group` writes every room there is.
        Gradients { x: unsafe { written(dx) }, w: dw, offsets }
    }

    fn group(&self, samples: std::ops::Range<usize>, room: Vec<Room>, x: Parts, y: Parts, g: Parts) -> Group {
        let (n, m, channels) = (self.g.input_len(), self.g.output_len(), self.g.channels_out);
        let (mut plain, mut absolute) = (Gradient::new(self.g), Gradient::new(self.g));
        let mut all_sums = vec![];
        let mut room = room.into_iter();
        let mut bits = (vec![], vec![]);
        let (from, to) = (&self.from, &self.to);
        with_lines([from.lines(), from.lines(), to.lines(), to.lines(), to.lines()], |[a, b, gm, gl, gu]| {
            for at in samples {
                let (x, y, g) = (sample(&x, at, n), sample(&y, at, m), sample(&g, at, m));
                [&mut *gm, gl, gu].into_iter().for_each(|lines| to.clear_border(lines));
                [&mut *a, b].into_iter().for_each(|lines| from.clear_border(lines));
                pack(to, g[0], gm);
                pack(to, g[1], gl);
                pack(to, g[2], gu);
                let sums = vectorised(
                    #[inline(always)]
                    || {
                        taken(to, &self.offsets[at * channels..][..channels], y, &mut bits);
                        split(to, &bits, gm, gl, gu)
                    },
                );
                all_sums.extend(sums[..channels].iter().chain(&sums[sums.len() / 2..][..channels]));
                pack(from, x[0], a);
                plain.add(a, gm);
                pack_center_radius(from, x[1], x[2], a, b);
                plain.add(a, gl);
                absolute.add(b, gu);
                if let Some([center, lower, upper]) = room.next() {
                    self.adjoint.run(gm, a, Finish::default());
                    // SAFETY: each room is one picture, here and below.
                    unsafe { unpack(from, a, 1.0, center.as_mut_ptr().cast()) };
                    self.adjoint.run(gl, a, Finish { scale: Some(0.5), ..Finish::default() });
                    self.absolute.run(gu, b, Finish { scale: Some(0.5), ..Finish::default() });
                    // SAFETY: as above.
                    unsafe { unpack_ends(from, a, b, lower.as_mut_ptr().cast(), upper.as_mut_ptr().cast()) };
                }
            }
        });
        (plain, absolute, all_sums)
    }
}

/// Where the ball gave the lower and the upper end, a bit each, in the order of the lines.
#[inline(always)]
fn taken(layout: &Blocked, reach: &[f32], y: Parts, (lower, upper): &mut (Vec<u16>, Vec<u16>)) {
    let plane = layout.height * layout.width;
    for bits in [&mut *lower, upper] {
        bits.clear();
        bits.resize(layout.lines(), 0);
    }
    for (channel, reach) in reach.iter().enumerate() {
        let bit = channel % LANES;
        for row in 0..layout.height {
            let own = channel * plane + row * layout.width..channel * plane + (row + 1) * layout.width;
            let to = layout.at(channel / LANES, row, 0);
            let (lower, upper) = (&mut lower[to..to + layout.width], &mut upper[to..to + layout.width]);
            let values = y[0][own.clone()].iter().zip(&y[1][own.clone()]).zip(&y[2][own]);
            for (((m, l), u), (low, high)) in values.zip(lower.iter_mut().zip(upper)) {
                *low |= u16::from(*l == m - reach) << bit;
                *high |= u16::from(*u == m + reach) << bit;
            }
        }
    }
}

/// The gradients of (center, lower, upper) to those of (center', c, h), in place; for each channel the sums that the reach
/// gets, then those that the bias gets.
#[inline(always)]
fn split(
    layout: &Blocked,
    (lower, upper): &(Vec<u16>, Vec<u16>),
    gm: &mut [Line],
    gl: &mut [Line],
    gu: &mut [Line],
) -> Vec<f32> {
    let plane = layout.rows * layout.columns;
    let mut sums = vec![0.0; 2 * layout.blocks() * LANES];
    for block in 0..layout.blocks() {
        let (mut reach, mut bias) = ([0.0; LANES], [0.0; LANES]);
        for at in block * plane..(block + 1) * plane {
            let (m, l, u, low, high) = (&mut gm[at].0, &mut gl[at].0, &mut gu[at].0, lower[at], upper[at]);
            for i in 0..LANES {
                let (ball_l, ball_u) =
                    (if low >> i & 1 == 1 { l[i] } else { 0.0 }, if high >> i & 1 == 1 { u[i] } else { 0.0 });
                let (box_l, box_u) = (l[i] - ball_l, u[i] - ball_u);
                reach[i] += ball_u - ball_l;
                bias[i] += m[i] + l[i] + u[i];
                (m[i], l[i], u[i]) = (m[i] + ball_l + ball_u, box_l + box_u, box_u - box_l);
            }
        }
        let half = sums.len() / 2;
        sums[block * LANES..][..LANES].copy_from_slice(&reach);
        sums[half + block * LANES..][..LANES].copy_from_slice(&bias);
    }
    sums
}
