//! Power iteration with a fixed number of steps on a device with kernels of our own: all samples at once, each half step one
//! product and one pass, nothing read back.
//!
//! ```text
//! v <- I_out W u / ||u||      u <- I_in W^T v / ||v||      sigma = ||u||
//! ```
//!
//! The same as dividing by the vectors' own norms, since the map is linear, but for rounding; a pass need not know a norm before
//! it has read the whole vector. A sample that the masked map sends to zero at the first step goes on from a generic left
//! vector, as in [`super::power_device`].

use super::norm::{Iterated, PowerOptions, SingularVectors};
use crate::compute::fused::passes::{masked, pass, restart};
use crate::compute::interrupt;
use crate::nn::Layer;
use candle_core::{Result, Tensor, bail};

/// See [`super::norm::spectral_norm`]; shapes are checked there. `layer` is frozen; `u` is masked if `is_masked`.
pub fn iterate(
    layer: &Layer,
    u: &Tensor,
    is_masked: bool,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
    options: PowerOptions,
) -> Result<Iterated> {
    let dtype = layer.weight().map_or(u.dtype(), Tensor::dtype);
    let mut u = masked(&u.to_dtype(dtype)?, columns.filter(|_| !is_masked))?;
    let (mut of_u, mut left) = (None, None);
    for iteration in 0..options.iterations {
        interrupt::check()?;
        let v = layer.apply(&u)?.contiguous()?;
        let of_v = pass(&v, rows, of_u.as_ref())?;
        if iteration == 0 {
            restart(&v, rows, &of_v)?;
        }
        u = layer.adjoint(&v)?.contiguous()?;
        of_u = Some(pass(&u, columns, Some(&of_v))?);
        left = Some((v, of_v));
    }
    let (Some(of_u), Some((v, of_v))) = (of_u, left) else { bail!("spectral_norm: 0 iterations") };
    let batch = u.dim(0)?;
    Ok(Iterated {
        sigma: of_u.values(dtype)?,
        u: SingularVectors::with_norms(u, of_u),
        v: SingularVectors::with_norms(v, of_v),
        iterations: vec![options.iterations as u32; batch],
        converged: vec![false; batch],
    })
}
