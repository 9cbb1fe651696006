//! Ball and box through a linear layer as one operation; see [`crate::compute::region::conv`] for the formula, which is the same
//!
//! Both centres go through W in one matrix product, the half-widths through |W| in another. f32 and f64, on the CPU.

use crate::compute::autograd::tape::Tracked;
use crate::compute::element::{Element, Host, for_dtype};
use crate::compute::elementwise::loops::Shared;
use crate::compute::linear::products::{columns, outer, rows};
use crate::compute::simd::wide_loop;
use crate::compute::unwritten::{unwritten, written};
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

/// Is there a form for these arguments?
pub fn covers(x: &Tensor, w: &Tensor) -> bool {
    let float = matches!(x.dtype(), DType::F32 | DType::F64) && x.dtype() == w.dtype();
    x.device().is_cpu() && float && x.rank() == 3 && x.elem_count() > 0 && w.elem_count() > 0
}

/// The region `x` `[3, B, I]` through `w` `[O, I]`; `offsets` `[B + 1, O]` are the reach of the ball for each sample, then
/// the bias. [`covers`] must hold.
pub fn affine(x: &Tracked, w: &Tensor, offsets: &Tensor) -> Result<Tracked> {
    for_dtype!("affine", w.dtype(), T => typed::<T>(x, w, offsets))
}

fn typed<T: Element>(x: &Tracked, w: &Tensor, offsets: &Tensor) -> Result<Tracked> {
    let ((_, batch, inputs), (outputs, wants)) = (x.value().dims3()?, w.dims2()?);
    if inputs != wants || offsets.dims() != [batch + 1, outputs] {
        bail!("affine: {:?}, {:?} and offsets {:?} do not fit", x.value().dims(), w.dims(), offsets.dims());
    }
    let layer = Affine { batch, inputs, outputs };
    let (xs, ws, os) = (x.value().contiguous()?, w.contiguous()?.detach(), offsets.contiguous()?.detach());
    let y = {
        let [x, w, offsets] = [&xs, &ws, &os].map(Host::of);
        layer.forward::<T>(x.slice()?, w.slice()?, offsets.slice()?)
    };
    let y = Tensor::from_vec(y, (3, batch, outputs), &Device::Cpu)?;
    let ys = y.clone();
    Ok(x.then("affine", y, w, offsets, move |gradient, wanted| {
        let gradient = gradient.tensor.contiguous()?;
        let [x, w, offsets, y, g] = [&xs, &ws, &os, &ys, &gradient].map(Host::of);
        let (offsets, y, g) = (offsets.slice::<T>()?, y.slice()?, g.slice()?);
        let [dx, dw, sums] = layer.backward(x.slice()?, w.slice()?, offsets, y, g, wanted);
        let tensor = |values: Vec<T>, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu);
        let dx = if wanted { Some(tensor(dx, &xs)?) } else { None };
        Ok((dx, Some(tensor(dw, &ws)?), Some(tensor(sums, &os)?)))
    }))
}

struct Affine {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

impl Affine {
    /// center, middle and half-width, `[3 B, I]`.
    fn middles<T: Element>(&self, x: &[T]) -> Vec<T> {
        let n = self.batch * self.inputs;
        let mut out = unwritten(3 * n);
        let room = Shared::new(&mut out);
        (0..self.batch).into_par_iter().for_each(|b| {
            // SAFETY: sample b's rows of the three parts are this task's alone.
            let [center, middle, half] =
                [0, n, 2 * n].map(|at| unsafe { room.part(at + b * self.inputs, self.inputs) });
            let part = |at: usize| &x[at + b * self.inputs..][..self.inputs];
            let (c, l, u) = (part(0), part(n), part(2 * n));
            wide_loop(
                #[inline(always)]
                || {
                    let two = T::of(0.5);
                    for i in 0..c.len() {
                        center[i].write(c[i]);
                        middle[i].write((l[i] + u[i]) * two);
                        half[i].write((u[i] - l[i]) * two);
                    }
                },
            );
        });
        // SAFETY: the tasks cover all rows of all parts.
        unsafe { written(out) }
    }

    fn forward<T: Element>(&self, x: &[T], w: &[T], offsets: &[T]) -> Vec<T> {
        let (b, i, o) = (self.batch, self.inputs, self.outputs);
        let all = self.middles(x);
        let (both, half) = all.split_at(2 * b * i);
        let mut y = vec![T::ZERO; 3 * b * o];
        let (centers, widths) = y.split_at_mut(2 * b * o);
        rows(both, w, i, false, centers);
        rows(half, w, i, true, widths);
        let (center, middle) = centers.split_at_mut(b * o);
        let (reach, bias) = offsets.split_at(b * o);
        let samples = center.par_chunks_mut(o).zip(middle.par_chunks_mut(o)).zip(widths.par_chunks_mut(o));
        samples.zip(reach.par_chunks(o)).for_each(|(((m, c), h), reach)| {
            for k in 0..o {
                m[k] += bias[k];
                let (mid, half) = (c[k] + bias[k], h[k]);
                let (low, high) = (m[k] - reach[k], m[k] + reach[k]);
                let (l, u) = (mid - half, mid + half);
                c[k] = if l > low || l.partial_cmp(&l).is_none() { l } else { low };
                h[k] = if u < high || u.partial_cmp(&u).is_none() { u } else { high };
            }
        });
        y
    }

    /// The gradients of (center, lower, upper) to those of (center', c, h), and those of the offsets.
    fn split<T: Element>(&self, y: &[T], g: &[T], offsets: &[T]) -> (Vec<T>, Vec<T>) {
        let (b, o) = (self.batch, self.outputs);
        let mut split = g.to_vec();
        let mut sums = vec![T::ZERO; (b + 1) * o];
        for at in 0..b * o {
            let (m, l, u) = (g[at], g[b * o + at], g[2 * b * o + at]);
            let ball_l = if y[b * o + at] == y[at] - offsets[at] { l } else { T::ZERO };
            let ball_u = if y[2 * b * o + at] == y[at] + offsets[at] { u } else { T::ZERO };
            let (box_l, box_u) = (l - ball_l, u - ball_u);
            sums[at] = ball_u - ball_l;
            sums[b * o + at % o] += m + l + u;
            (split[at], split[b * o + at], split[2 * b * o + at]) = (m + ball_l + ball_u, box_l + box_u, box_u - box_l);
        }
        (split, sums)
    }

    /// Gradients of x (where wanted), w and the offsets.
    fn backward<T: Element>(&self, x: &[T], w: &[T], offsets: &[T], y: &[T], g: &[T], wanted: bool) -> [Vec<T>; 3] {
        let (b, i, o) = (self.batch, self.inputs, self.outputs);
        let (g, sums) = self.split(y, g, offsets);
        let (both, half) = g.split_at(2 * b * o);
        let all = self.middles(x);
        let (x_both, x_half) = all.split_at(2 * b * i);
        let dw = outer((both, x_both), (half, x_half), w, o, i);
        if !wanted {
            return [vec![], dw, sums];
        }
        let mut dx = vec![T::ZERO; 3 * b * i];
        let (centers, widths) = dx.split_at_mut(2 * b * i);
        columns(both, w, i, false, centers);
        columns(half, w, i, true, widths);
        let middle = &mut centers[b * i..];
        middle.par_chunks_mut(i).zip(widths.par_chunks_mut(i)).for_each(|(m, h)| {
            let two = T::of(0.5);
            m.iter_mut().zip(h).for_each(|(m, h)| (*m, *h) = ((*m - *h) * two, (*m + *h) * two));
        });
        [dx, dw, sums]
    }
}
