//! Power iteration with a fixed number of steps on a device with kernels of our own: all samples at once, each half step one
//! product and one pass, nothing read back.
//!
//! ```text
//! v <- I_out W u / (||u|| s)      u <- I_in W^T v / (||v|| s)      sigma = s ||u||      s = sqrt(rows) max ||w_i||
//! ```
//!
//! The same as dividing by the vectors' own norms, since the map is linear, but for rounding; a pass need not know a
//! norm before it has read the whole vector. s keeps vectors near length 1 whatever the size of the
//! weights: without it weights of size 1e-30 sent them to zero before their norm was known. A sample that the masked
//! map sends to zero at the first step goes on from a generic left vector, as in [`crate::bounds::norm::on_device`].
//! Halves are scaled in a way of their own, see [`crate::compute::power::gpu_passes`].

use super::vectors::{Iterated, SingularVectors, Start, Task, layout_of};
use crate::base::interrupt;
use crate::compute::layout;
use crate::compute::layout::memory;
use crate::compute::norms::gpu::normalize_samples;
use crate::compute::power::gpu_passes::{masked, pass, restart};
use crate::compute::region::weights::{Map, WeightParts};
use candle_core::{DType, Result, Tensor, bail};

/// See [`crate::bounds::spectral_norm`]; shapes are checked there. The layer is frozen, `weight` what was made of its own for its products.
pub fn iterate(task: &Task, weight: Option<&(Map, WeightParts)>, start: Start) -> Result<Iterated> {
    let Task { layer, options, .. } = *task;
    let dtype = layer.numbers().map_or(start.u.dtype(), |(dtype, _)| dtype);
    let layout = layout_of(layer);
    let norms = weight.map(|(_, w)| &w.norms);
    let halves = weight.filter(|_| task.in_halves()).map(|(_, w)| w.halves()).transpose()?;
    // The weight of the products, and what a pass divides by.
    let own = weight.map(|(map, w)| (map, halves.as_ref().unwrap_or(&w.weight)));
    let size = norms.filter(|_| halves.is_none());
    let apply = |u: &Tensor| match own {
        Some((map, w)) => map.apply(u, w)?.contiguous(),
        None => layer.apply(u)?.contiguous(),
    };
    let adjoint = |v: &Tensor| match own {
        Some((map, w)) => map.adjoint(v, w, &layer.input)?.contiguous(),
        None => layer.adjoint(v)?.contiguous(),
    };
    let in_layout = |mask: Option<&Tensor>| mask.map(|mask| memory(mask, layout)).transpose();
    let (columns, rows) = (in_layout(task.columns)?, in_layout(task.rows)?);
    let (columns, rows) = (columns.as_ref(), rows.as_ref());
    // Halves as a store has made them; others of any size are made unit vectors before they are rounded.
    let is_made = start.u.dtype() == DType::F16 && (start.is_masked || columns.is_none());
    let mut u = if halves.is_some() && is_made {
        layout::turned(&start.u, start.layout, layout)?
    } else {
        let u = layout::turned(&start.u.to_dtype(dtype)?, start.layout, layout)?;
        let needs_mask = columns.is_some() && !start.is_masked;
        let u = if needs_mask { masked(&u, task.opened(columns, u.dim(0)?)?.as_ref())? } else { u };
        if halves.is_some() { normalize_samples(&u)?.0.to_dtype(DType::F16)? } else { u }
    };
    let (mut of_u, mut left) = (None, None);
    for iteration in 0..options.iterations {
        interrupt::check()?;
        let v = apply(&u)?;
        let of_v = pass(&v, rows, of_u.as_ref(), size)?;
        if iteration == 0 {
            restart(&v, rows, &of_v)?;
        }
        u = adjoint(&v)?;
        of_u = Some(pass(&u, columns, Some(&of_v), size)?);
        left = Some((v, of_v));
    }
    let (Some(of_u), Some((v, of_v))) = (of_u, left) else { bail!("spectral_norm: 0 iterations") };
    let batch = u.dim(0)?;
    let [sigma, others] = match (&halves, norms) {
        (Some(_), Some(norms)) => of_u.of_map(&of_v, norms, dtype, task.first)?,
        _ => of_u.values(size, dtype, task.first)?,
    };
    Ok(Iterated {
        sigma: [sigma, others],
        u: SingularVectors::with_norms(u, of_u, layout),
        v: SingularVectors::with_norms(v, of_v, layout),
        iterations: vec![options.iterations as u32; batch],
        converged: vec![false; batch],
    })
}
