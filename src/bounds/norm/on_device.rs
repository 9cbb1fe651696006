//! Power iteration on a device with kernels of our own: for all samples at once, each half step one product and one kernel
//! for mask, norm and scaling.
//!
//! Nothing is read back while it runs, but with a tolerance whether all samples are done, now and then. A sample that is
//! done keeps its vectors, so that its result does not depend on who shares the batch. One that the masked map sends to zero
//! goes on from a generic left vector, where the other forms take a generic right one: no further product, and nothing to
//! wait for.

use super::vectors::{Iterated, SingularVectors, Task};
use crate::base::interrupt;
use crate::compute::power::gpu::Iterates;
use candle_core::{Result, Tensor};

/// Iterations between two looks at whether all samples are done.
const LOOK: usize = 10;

/// See [`crate::bounds::spectral_norm`]; shapes are checked there. The layer is frozen.
pub fn iterate(task: &Task, u: &Tensor) -> Result<Iterated> {
    let Task { layer, options, .. } = *task;
    let (columns, rows) = (task.opened(task.columns, u.dim(0)?)?, task.opened(task.rows, u.dim(0)?)?);
    let (columns, rows) = (columns.as_ref(), rows.as_ref());
    let dtype = layer.numbers().map_or(u.dtype(), |(dtype, _)| dtype);
    let state = Iterates::new(&u.to_dtype(dtype)?, columns, &layer.output)?;
    for iteration in 0..options.iterations {
        interrupt::check()?;
        state.left(&layer.apply(&state.u)?, rows, iteration == 0)?;
        state.right(&layer.adjoint(&state.v)?, columns, options.tolerance)?;
        let look = options.tolerance.is_some() && (iteration + 1) % LOOK == 0;
        if look && state.done.min_all()?.to_scalar::<u8>()? == 1 {
            break;
        }
    }
    let (iterations, converged) = match options.tolerance {
        // Known without asking.
        None => (vec![options.iterations as u32; u.dim(0)?], vec![false; u.dim(0)?]),
        Some(_) => (state.used.to_vec1()?, state.done.to_vec1::<u8>()?.into_iter().map(|d| d == 1).collect()),
    };
    let (u, v) = (SingularVectors::of(state.u), SingularVectors::of(state.v));
    Ok(Iterated { sigma: task.split(&state.sigma.to_dtype(dtype)?)?, u, v, iterations, converged })
}
