//! The norm of a matrix of few rows from one vector, unmasked, on a device with kernels of our own: the last layer's.

use super::vectors::{Iterated, SingularVectors, Task};
use crate::compute::power::few_rows;
use crate::nn::layers::Dense;
use candle_core::{Result, Tensor};

/// The matrix, if that is what is asked for.
pub fn matrix(task: &Task, u: &Tensor) -> Option<Tensor> {
    let alone = task.first == 1 && task.columns.is_none() && task.rows.is_none() && task.options.tolerance.is_none();
    match task.layer.dense() {
        Some(Dense::Matrix { weight, .. }) if alone && few_rows::covers(&weight, u) => Some(weight),
        Some(Dense::Matrix { .. } | Dense::Convolution { .. } | Dense::EachChannel { .. } | Dense::Diagonal { .. })
        | None => None,
    }
}

/// See [`crate::bounds::spectral_norm`]; shapes are checked there.
pub fn iterate(task: &Task, weight: &Tensor, u: &Tensor) -> Result<Iterated> {
    let iterations = task.options.iterations;
    let [u, v, sigma] = few_rows::iterate(weight, u, iterations)?;
    let none = sigma.narrow(0, 0, 0)?;
    let (u, v) = (SingularVectors::of(u), SingularVectors::of(v));
    Ok(Iterated { sigma: [sigma, none], u, v, iterations: vec![iterations as u32], converged: vec![false] })
}
