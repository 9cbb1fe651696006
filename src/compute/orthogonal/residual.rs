//! `I + s g W`: a linear residual block as one kernel `[C, C, k, k]`, or one matrix `[N, N]`
//!
//! ```text
//! y_o = e_o + s g_o w_o      e_o 1 at its own channel's middle tap      gradient   s g_o G_o   and   s <G_o, W_o>
//! ```

use crate::compute::autograd::differentiable;
use crate::compute::element::{Element, Host, for_dtype};
use crate::compute::gpu;
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

/// `weight` `[C, C, k, k]`, k odd, or `[N, N]`; `gain` `[C]` or `[N]`.
pub fn residual(weight: &Tensor, gain: &Tensor, scale: f64) -> Result<Tensor> {
    let dims = weight.dims();
    let n = gain.elem_count();
    if dims.len() < 2 || dims[0] != n || dims[1] != n {
        bail!(
            "residual: a weight of shape {dims:?} and {n} gains; a square one is wanted, with a gain for each output"
        );
    }
    let (w, g) = (weight.contiguous()?, gain.contiguous()?);
    let (ws, gs) = (w.detach(), g.detach());
    if w.device().is_cpu() && !gpu::has_kernel(&w) {
        let value = merged(&ws, &gs, scale)?;
        return differentiable("residual", value, [&w, &g, &g], move |d, [to_w, to_g, _]| {
            let (of_w, of_g) = gradients(&ws, &gs, scale, d)?;
            Ok((to_w.then_some(of_w), to_g.then_some(of_g), None))
        });
    }
    let mut each = vec![1; dims.len()];
    each[0] = n;
    let factors = (gs.reshape(each)? * scale)?;
    let value = ws.broadcast_mul(&factors)?.broadcast_add(&one(dims, w.dtype(), w.device())?)?;
    differentiable("residual", value, [&w, &g, &g], move |d, [to_w, to_g, _]| {
        let of_w = to_w.then(|| d.broadcast_mul(&factors)).transpose()?;
        let of_g = to_g.then(|| (d * &ws)?.flatten_from(1)?.sum(1)? * scale).transpose()?;
        Ok((of_w, of_g, None))
    })
}

/// The identity as such a kernel.
fn one(dims: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
    let mut kernel = Tensor::eye(dims[0], dtype, device)?;
    for (axis, taps) in dims.iter().enumerate().skip(2) {
        kernel = kernel.unsqueeze(axis)?.pad_with_zeros(axis, taps / 2, taps / 2)?;
    }
    Ok(kernel)
}

/// On the host, a row a task.
fn merged(w: &Tensor, gain: &Tensor, scale: f64) -> Result<Tensor> {
    let (ws, gs) = (Host::of(w), Host::of(gain));
    let taps: usize = w.dims()[2..].iter().product();
    for_dtype!("residual", w.dtype(), T => {
        let (ws, gs, scale) = (ws.slice::<T>()?, gs.slice::<T>()?, T::of(scale));
        let mut y = vec![T::ZERO; ws.len()];
        let row = (ws.len() / gs.len().max(1)).max(1);
        y.par_chunks_mut(row).zip(ws.par_chunks(row)).zip(gs).enumerate().for_each(|(o, ((y, w), g))| {
            // In this order, as published: the gain first.
            y.iter_mut().zip(w).for_each(|(y, w)| *y = *w * *g * scale);
            y[o * taps + taps / 2] += T::ONE;
        });
        Tensor::from_vec(y, w.shape(), w.device())
    })
}

fn gradients(w: &Tensor, gain: &Tensor, scale: f64, d: &Tensor) -> Result<(Tensor, Tensor)> {
    let (ws, gs, ds) = (Host::of(w), Host::of(gain), Host::of(d));
    for_dtype!("residual", w.dtype(), T => {
        let (ws, gs, ds, scale) = (ws.slice::<T>()?, gs.slice::<T>()?, ds.slice::<T>()?, T::of(scale));
        let (mut of_w, mut of_g) = (vec![T::ZERO; ws.len()], vec![T::ZERO; gs.len()]);
        let row = (ws.len() / gs.len().max(1)).max(1);
        let rows = of_w.par_chunks_mut(row).zip(ws.par_chunks(row)).zip(ds.par_chunks(row)).zip(gs).zip(&mut of_g);
        rows.for_each(|((((of_w, w), d), g), of_g)| {
            let mut sums = [T::ZERO; 16];
            for ((of_w, w), d) in of_w.chunks_mut(16).zip(w.chunks(16)).zip(d.chunks(16)) {
                for (((of_w, w), d), sum) in of_w.iter_mut().zip(w).zip(d).zip(&mut sums) {
                    *of_w = *d * *g * scale;
                    *sum += *d * *w;
                }
            }
            *of_g = sums.iter().fold(T::ZERO, |a, b| a + *b) * scale;
        });
        let of_w = Tensor::from_vec(of_w, w.shape(), w.device())?;
        Ok((of_w, Tensor::from_vec(of_g, gain.shape(), gain.device())?))
    })
}
