//! One number per channel, added to all positions of that channel: `y[b,c,p] = x[b,c,p] + v[b,c]`
//!
//! v has shape `[1, C]` (a bias) or `[B, C]` (the reach of a ball). The gradient of v sums over positions, and over the
//! batch for a bias, in a fixed order. candle's broadcasting does the same element by element through strided indices,
//! which costs more than the convolution it follows.

use super::gpu as fused;
use crate::compute::autograd::differentiable;
use crate::compute::element::{Element, for_float, slice};
use crate::compute::gpu;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// `x` `[B, C, ...]` plus `v` `[1, C]` or `[B, C]`.
pub fn add_channels(x: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (rows, channels) = v.dims2()?;
    if x.rank() < 2 || x.dim(1)? != channels || rows != 1 && rows != x.dim(0)? {
        bail!("add_channels: {:?} cannot be added to the channels of {:?}", v.dims(), x.dims());
    }
    if gpu::has_kernel(x) {
        return fused::add_channels(x, v);
    }
    if !x.device().is_cpu() {
        let mut shape = vec![rows, channels];
        shape.resize(x.rank(), 1);
        return x.broadcast_add(&v.reshape(shape)?);
    }
    let (x, v) = (x.contiguous()?, v.contiguous()?);
    let y = x.detach().apply_op2_no_bwd(&v.detach(), &Add)?;
    differentiable("add_channels", y, [&x, &v, &v], move |g, [to_x, to_v, _]| {
        let sums = to_v.then(|| if rows == 1 { over_batch(&channel_sums(g)?)?.unsqueeze(0) } else { channel_sums(g) });
        Ok((to_x.then(|| g.clone()), sums.transpose()?, None))
    })
}

/// `x` `[B, C, ...]` plus a bias `[C]`.
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let y = add_channels(&x.detach(), &bias.detach().unsqueeze(0)?)?;
    differentiable("add_bias", y, [x, bias, bias], move |g, [to_x, to_bias, _]| {
        Ok((to_x.then(|| g.clone()), to_bias.then(|| over_batch(&channel_sums(g)?)).transpose()?, None))
    })
}

/// Sums over positions: `[B, C, ...]` to `[B, C]`, no gradient.
pub fn channel_sums(x: &Tensor) -> Result<Tensor> {
    if gpu::has_kernel(x) {
        return fused::channel_sums(x);
    }
    if x.rank() == 2 {
        return Ok(x.detach());
    }
    if !x.device().is_cpu() {
        return x.detach().flatten_from(2)?.sum(2);
    }
    x.detach().contiguous()?.apply_op1_no_bwd(&Sums)
}

/// Sums over the batch: `[B, C]` to `[C]`, no gradient.
pub fn over_batch(x: &Tensor) -> Result<Tensor> {
    if gpu::has_kernel(x) {
        return fused::column_sums(x);
    }
    if !x.device().is_cpu() {
        return x.detach().sum(0);
    }
    x.detach().contiguous()?.apply_op1_no_bwd(&OverBatch)
}

struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add_channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, v: &CpuStorage, lv: &Layout) -> Result<(CpuStorage, Shape)> {
        for_float!(self.name(), x, T => {
            let (x, v) = (slice::<T>(self.name(), x, lx)?, slice::<T>(self.name(), v, lv)?);
            let channels = lv.dims()[1];
            let positions = lx.dims()[2..].iter().product::<usize>().max(1);
            let mut y = vec![T::ZERO; x.len()];
            let sample = channels * positions;
            y.par_chunks_mut(sample).zip(x.par_chunks(sample)).enumerate().for_each(|(b, (y, x))| {
                let own = &v[(b * channels) % v.len()..][..channels];
                // A vector has no positions to go over.
                if positions == 1 {
                    return y.iter_mut().zip(x).zip(own).for_each(|((y, x), v)| *y = *x + *v);
                }
                for ((y, x), v) in y.chunks_mut(positions).zip(x.chunks(positions)).zip(own) {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = *x + *v);
                }
            });
            Ok((WithDType::to_cpu_storage_owned(y), lx.shape().clone()))
        })
    }
}

/// `[B, C]` to `[C]`, in the order of the batch.
struct OverBatch;

impl CustomOp1 for OverBatch {
    fn name(&self) -> &'static str {
        "add_channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        const COLUMNS: usize = 128;
        let (_, channels) = lx.shape().dims2()?;
        for_float!(self.name(), x, T => {
            let x = slice::<T>(self.name(), x, lx)?;
            let mut sums = vec![T::ZERO; channels];
            sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(at, sums)| {
                for row in x.chunks_exact(channels) {
                    let own = &row[at * COLUMNS..][..sums.len()];
                    sums.iter_mut().zip(own).for_each(|(sum, x)| *sum += *x);
                }
            });
            Ok((WithDType::to_cpu_storage_owned(sums), Shape::from(channels)))
        })
    }
}

/// `[B, C, ...]` to `[B, C]`: sums over positions.
struct Sums;

impl CustomOp1 for Sums {
    fn name(&self) -> &'static str {
        "add_channels"
    }

    fn cpu_fwd(&self, g: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels) = (lg.dims()[0], lg.dims()[1]);
        for_float!(self.name(), g, T => {
            let g = slice::<T>(self.name(), g, lg)?;
            let positions = g.len() / (batch * channels);
            let sum = |g: &[T]| {
                // Eight interleaved sums: the compiler can keep them in one register.
                let mut sums = [T::ZERO; 8];
                g.chunks(8).for_each(|part| sums.iter_mut().zip(part).for_each(|(s, g)| *s += *g));
                sums.iter().fold(T::ZERO, |a, b| a + *b)
            };
            let sums: Vec<T> = g.par_chunks(positions).with_min_len(64).map(sum).collect();
            Ok((WithDType::to_cpu_storage_owned(sums), Shape::from((batch, channels))))
        })
    }
}
