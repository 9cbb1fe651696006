//! Norms of the samples of a batch, safe against overflow and underflow: `||x_b|| = m sqrt(sum (x / m)^2)`, m = max |x|.
//!
//! No constant is added anywhere: a zero sample has norm 0 and stays 0 when normalised.

use crate::compute::checked;
use crate::compute::gpu;
use crate::compute::norms;
use candle_core::{DType, Result, Tensor};

/// The Euclidean norm of each sample: `[B, ...]` to `[B]`, computed in f64. No gradient.
pub fn sample_norms(x: &Tensor) -> Result<Tensor> {
    if gpu::has_kernel(x) {
        return norms::gpu::sample_norms(x);
    }
    let flat = x.detach().to_dtype(DType::F64)?.flatten_from(1)?;
    let peak = flat.abs()?.max_keepdim(1)?;
    let scale = one_where_zero(&peak)?;
    flat.broadcast_div(&scale)?.sqr()?.sum_keepdim(1)?.sqrt()?.mul(&peak)?.squeeze(1)
}

/// Each sample divided by its norm, and the norms `[B]` in f64. No gradient.
pub fn normalize_samples(x: &Tensor) -> Result<(Tensor, Tensor)> {
    if gpu::has_kernel(x) {
        return norms::gpu::normalize_samples(x);
    }
    let norms = sample_norms(x)?;
    let flat = x.detach().to_dtype(DType::F64)?.flatten_from(1)?;
    let unit = flat.broadcast_div(&one_where_zero(&norms)?.unsqueeze(1)?)?;
    Ok((unit.reshape(x.shape())?.to_dtype(x.dtype())?, norms))
}

/// `sqrt(sum_k t_k^2)` of tensors `[B]`, their numbers at least 0. Its gradient is 0 where all of them are.
pub fn joint_norm(parts: &[Tensor]) -> Result<Tensor> {
    let stacked = Tensor::stack(parts, 1)?;
    let norm = sample_norms(&stacked)?.to_dtype(stacked.dtype())?;
    let safe = one_where_zero(&norm)?;
    // A NaN among them is one of the whole, whatever a maximum makes of it; and the slopes t_k / norm, as constants.
    parts.iter().try_fold(norm, |sum, t| {
        let own = t.detach();
        (sum + (&own * 0.0)?)? + ((t - &own)? * (own / &safe)?)?
    })
}

/// `values` reshaped to `[B, 1, 1, ...]` so that it multiplies each sample of `like`.
pub fn per_sample(values: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![values.elem_count()];
    shape.resize(like.rank(), 1);
    values.reshape(shape)
}

/// An error unless all of `x` lies in [0, 1]: cutting a ball to images makes sense around an image only.
pub fn check_images(op: &str, x: &Tensor) -> Result<()> {
    if checked::is_image(x) {
        return Ok(());
    }
    let wide = x.detach().to_dtype(DType::F64)?;
    let (low, high) = (wide.min_all()?.to_scalar::<f64>()?, wide.max_all()?.to_scalar::<f64>()?);
    if low >= 0.0 && high <= 1.0 {
        checked::note_images(x);
        return Ok(());
    }
    candle_core::bail!(
        "{op}: the values go from {low} to {high}, images lie in [0, 1]; switch the option off for other data"
    )
}

fn one_where_zero(x: &Tensor) -> Result<Tensor> {
    x.add(&x.eq(0.0)?.to_dtype(x.dtype())?)
}
