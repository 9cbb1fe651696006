//! Power iteration with a fixed number of steps on a device with kernels of our own: all samples at once, each half step one
//! product and one pass, nothing read back.
//!
//! ```text
//! v <- I_out W u / (||u|| s)      u <- I_in W^T v / (||v|| s)      sigma = s ||u||      s = ||W||_F
//! ```
//!
//! The same as dividing by the vectors' own norms, since the map is linear, but for rounding; a pass need not know a
//! norm before it has read the whole vector. The Frobenius norm keeps vectors near length 1 whatever the size of the
//! weights: without it weights of size 1e-30 sent them to zero before their norm was known. A sample that the masked
//! map sends to zero at the first step goes on from a generic left vector, as in [`crate::bounds::norm::gpu`].

use super::options::PowerOptions;
use super::vectors::{Iterated, SingularVectors, Start, layout_of};
use crate::base::interrupt;
use crate::compute::layout;
use crate::compute::layout::memory;
use crate::compute::power::gpu_passes::{Norms, masked, pass, restart};
use crate::compute::region::weights::Map;
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{Result, Tensor, bail};

/// See [`crate::bounds::spectral_norm`]; shapes are checked there. `layer` is frozen.
pub fn iterate(
    layer: &Layer,
    start: Start,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<Iterated> {
    let dtype = layer.numbers().map_or(start.u.dtype(), |(dtype, _)| dtype);
    let layout = layout_of(layer);
    let map = match layer.dense() {
        Some(Dense::Convolution { weight, window, .. }) => Some((Map::Conv(window, layout), weight)),
        Some(Dense::Matrix { weight, .. }) => Some((Map::Linear(layer.precision.get()), weight)),
        // By the layer's own products; what has no norm was refused before.
        Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => None,
    };
    let map = map.map(|(map, weight)| Ok::<_, candle_core::Error>((map, map.in_layout(&weight)?))).transpose()?;
    let size = map.as_ref().map(|(_, weight)| Norms::of_all(weight)).transpose()?;
    let size = size.as_ref();
    let apply = |u: &Tensor| match &map {
        Some((map, w)) => map.apply(u, w)?.contiguous(),
        None => layer.apply(u)?.contiguous(),
    };
    let adjoint = |v: &Tensor| match &map {
        Some((map, w)) => map.adjoint(v, w, &layer.input)?.contiguous(),
        None => layer.adjoint(v)?.contiguous(),
    };
    let in_layout = |mask: Option<&Tensor>| mask.map(|mask| memory(mask, layout)).transpose();
    let (columns, rows) = (in_layout(columns)?, in_layout(rows)?);
    let (columns, rows) = (columns.as_ref(), rows.as_ref());
    let u = layout::turned(&start.u.to_dtype(dtype)?, start.layout, layout)?;
    let mut u = masked(&u, columns.filter(|_| !start.is_masked))?;
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
    Ok(Iterated {
        sigma: of_u.values(size, dtype)?,
        u: SingularVectors::with_norms(u, of_u, layout),
        v: SingularVectors::with_norms(v, of_v, layout),
        iterations: vec![options.iterations as u32; batch],
        converged: vec![false; batch],
    })
}
