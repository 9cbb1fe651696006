//! Power iteration through tensors: for pooling layers, and for every layer on devices other than the CPU.
//!
//! A sample that has converged leaves the batch at once, so that its result does not depend on who shared it.

use super::vectors::{Iterated, SingularVectors, Task};
use crate::base::interrupt;
use crate::compute::norms::samples::{normalize_samples, sample_norms};
use crate::nn::Layer;
use candle_core::{Device, Result, Tensor};

/// Element `i` of a fixed vector without structure, in (-1, 1) and never 0 (splitmix64).
pub fn generic(i: usize) -> f64 {
    let mut z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0 + 1e-9
}

/// Samples that have left: their places in the whole batch, sigma, u, v.
struct Left {
    places: Vec<u32>,
    sigma: Tensor,
    u: Tensor,
    v: Tensor,
}

/// The samples that still iterate.
struct Batch {
    index: Vec<u32>,
    u: Tensor,
    columns: Option<Tensor>,
    rows: Option<Tensor>,
}

/// See [`crate::bounds::spectral_norm`]; shapes are checked there. The layer is frozen.
pub fn iterate(task: &Task, u: &Tensor) -> Result<Iterated> {
    let Task { layer, options, .. } = *task;
    let (columns, rows) = (task.opened(task.columns, u.dim(0)?)?, task.opened(task.rows, u.dim(0)?)?);
    let (columns, rows) = (columns.as_ref(), rows.as_ref());
    let dtype = layer.numbers().map_or(u.dtype(), |(dtype, _)| dtype);
    let float = |m: Option<&Tensor>| m.map(|m| m.to_dtype(dtype)).transpose();
    let n = u.dim(0)?;
    let mut batch =
        Batch { index: (0..n as u32).collect(), u: u.to_dtype(dtype)?, columns: float(columns)?, rows: float(rows)? };
    batch.u = masked(&batch.u, batch.columns.as_ref())?;
    let mut iterations = vec![0; n];
    let mut converged = vec![false; n];
    let mut left: Vec<Left> = vec![];
    for iteration in 0..options.iterations {
        interrupt::check()?;
        let mut v = forward(layer, &batch)?;
        if iteration == 0 {
            (batch.u, v) = replace_dead(layer, &batch, v)?;
        }
        let next = masked(&layer.adjoint(&v)?, batch.columns.as_ref())?;
        let (next, sigma) = normalize_samples(&next)?;
        let moved = options.tolerance.map(|t| Ok::<_, candle_core::Error>((t, sample_norms(&(&next - &batch.u)?)?)));
        batch.u = next;
        batch.index.iter().for_each(|i| iterations[*i as usize] += 1);
        let last = iteration + 1 == options.iterations;
        let mut stay: Vec<u32> = (0..batch.index.len() as u32).collect();
        if let Some(Ok((tolerance, moved))) = moved {
            // A zero sample has nothing left to find; a NaN never converges.
            let (moved, sizes) = (moved.to_vec1::<f64>()?, sigma.to_vec1::<f64>()?);
            stay.retain(|i| !(moved[*i as usize] <= tolerance || sizes[*i as usize] == 0.0));
        }
        let done: Vec<u32> = (0..batch.index.len() as u32).filter(|i| !stay.contains(i)).collect();
        if last || !done.is_empty() {
            done.iter().for_each(|i| converged[batch.index[*i as usize] as usize] = true);
            let leaving = if last { (0..batch.index.len() as u32).collect() } else { done };
            let pick = |t: &Tensor| select(t, &leaving);
            let places = leaving.iter().map(|i| batch.index[*i as usize]).collect();
            left.push(Left { places, sigma: pick(&sigma)?, u: pick(&batch.u)?, v: pick(&v)? });
            if last || stay.is_empty() {
                break;
            }
            batch = batch.keep(&stay)?;
        }
    }
    // Put the samples back into their order.
    let places: Vec<u32> = left.iter().flat_map(|l| l.places.clone()).collect();
    let mut order = vec![0u32; n];
    places.iter().enumerate().for_each(|(at, place)| order[*place as usize] = at as u32);
    let gather = |part: fn(&Left) -> Tensor| -> Result<Tensor> {
        select(&Tensor::cat(&left.iter().map(part).collect::<Vec<_>>(), 0)?, &order)
    };
    Ok(Iterated {
        sigma: task.split(&gather(|l| l.sigma.clone())?.to_dtype(dtype)?)?,
        u: SingularVectors::of(gather(|l| l.u.clone())?),
        v: SingularVectors::of(gather(|l| l.v.clone())?),
        iterations,
        converged,
    })
}

impl Batch {
    fn keep(&self, stay: &[u32]) -> Result<Self> {
        let pick = |m: &Option<Tensor>| m.as_ref().map(|m| select(m, stay)).transpose();
        Ok(Self {
            index: stay.iter().map(|i| self.index[*i as usize]).collect(),
            u: select(&self.u, stay)?,
            columns: pick(&self.columns)?,
            rows: pick(&self.rows)?,
        })
    }
}

/// `I_out W u / ||.||` for a `u` that is masked already.
fn forward(layer: &Layer, batch: &Batch) -> Result<Tensor> {
    Ok(normalize_samples(&masked(&layer.apply(&batch.u)?, batch.rows.as_ref())?)?.0)
}

/// Samples whose start vector is mapped to zero start again from a generic one.
fn replace_dead(layer: &Layer, batch: &Batch, v: Tensor) -> Result<(Tensor, Tensor)> {
    let alive = sample_norms(&v)?.to_vec1::<f64>()?;
    if alive.iter().all(|n| *n != 0.0) {
        return Ok((batch.u.clone(), v));
    }
    let device = batch.u.device();
    let one: Vec<f64> = (0..layer.input_len()).map(generic).collect();
    let shape = [&[1], layer.input.as_slice()].concat();
    let fresh = Tensor::from_vec(one, shape, &Device::Cpu)?.to_dtype(batch.u.dtype())?.to_device(device)?;
    let fresh = masked(&fresh.broadcast_as(batch.u.shape())?, batch.columns.as_ref())?;
    let dead: Vec<u8> = alive.iter().map(|n| u8::from(*n == 0.0)).collect();
    let mut per_sample = vec![dead.len()];
    per_sample.resize(batch.u.rank(), 1);
    let dead = Tensor::from_vec(dead, per_sample, device)?.broadcast_as(batch.u.shape())?.contiguous()?;
    let u = dead.where_cond(&fresh.contiguous()?, &batch.u)?;
    let start = Batch { index: vec![], u, columns: None, rows: batch.rows.clone() };
    let v = forward(layer, &start)?;
    Ok((start.u, v))
}

fn masked(x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    // A product would turn a masked infinity into NaN, but the vectors here have unit length.
    mask.map_or(Ok(x.clone()), |m| x.mul(m))
}

fn select(t: &Tensor, index: &[u32]) -> Result<Tensor> {
    t.contiguous()?.index_select(&Tensor::new(index, t.device())?, 0)
}
