//! `|W|^T h`: how far coefficients in front of a layer can move when those behind it move by at most h (FastLip).

use crate::compute::conv::conv2d_input;
use crate::compute::precision::matmul;
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{Result, Tensor, bail};

/// `[B, output...]` to `[B, input...]`, h at least 0.
pub fn adjoint_absolute(layer: &Layer, h: &Tensor) -> Result<Tensor> {
    layer.affine("adjoint_absolute")?;
    if h.rank() == 0 || h.dims()[1..] != layer.output {
        bail!("adjoint_absolute: {} wants a batch of {:?}, got {:?}", layer.title(), layer.output, h.dims());
    }
    match layer.dense() {
        Some(Dense::Convolution { weight, window, .. }) => {
            conv2d_input(h, &weight.abs()?, window, (layer.input[1], layer.input[2]))
        }
        Some(Dense::Matrix { weight, .. }) => matmul(h, &weight.abs()?, layer.precision.get()),
        // Of these the entries that are not 0 are at least 0, or alone in their row and column.
        Some(Dense::EachChannel { weight, .. }) if is_positive(&weight)? => layer.adjoint(h),
        Some(Dense::Diagonal { scale }) => h.broadcast_mul(&scale.abs()?),
        Some(Dense::EachChannel { .. }) | None => bail!(
            "adjoint_absolute: the magnitudes of {} are not known entry by entry; take a bound that asks for none",
            layer.title()
        ),
    }
}

fn is_positive(weight: &Tensor) -> Result<bool> {
    let least = weight.detach().flatten_all()?.min(0)?.to_dtype(candle_core::DType::F64)?;
    Ok(least.to_scalar::<f64>()? >= 0.0)
}
