//! Losses on logits `[B, C]` and labels `[B]`
//!
//! ```text
//! cross_entropy       mean over b of -log softmax(logits)_y
//! gloro_logits        [logits, max_{j != y} worst_j]: the extra class of Leino et al. (2021); its cross-entropy is the loss
//! lmt_logits          logit_j + sqrt(2) radius for j != y: Lipschitz-margin training, Tsuzuku et al. (2018)
//! sparsity (Eq. 12)   mean of relu(upper) + t relu(theta - lower) for ReLU kinds,
//!                     mean of relu(upper_min - B) + t relu(A - lower_max) for clipped MaxMin
//! ```
//!
//! Eq. 12 has no reduction and t = 1; the mean over samples and neurons, and the weight t, are those of the published code.
//!
//! [`correct`] is the only judge of a margin: finite and above 0.

use crate::bounds::{Region, one_hot};
use crate::compute::autograd::differentiable;
use crate::compute::gpu;
use crate::compute::labels::logit_labels;
use crate::compute::losses as fused;
use crate::nn::Layer;
use crate::nn::layers::Excess;
use candle_core::{DType, Result, Tensor, bail};
use std::f64::consts::SQRT_2;

/// Mean cross-entropy, a scalar.
pub fn cross_entropy(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let y = logit_labels("cross_entropy", logits, y)?;
    if gpu::has_kernel(logits) {
        return fused::cross_entropy(logits, &y, true);
    }
    candle_nn::loss::cross_entropy(logits, &y)
}

/// Cross-entropy of each sample, `[B]`.
pub fn cross_entropies(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let y = logit_labels("cross_entropies", logits, y)?;
    if gpu::has_kernel(logits) {
        return fused::cross_entropy(logits, &y, false);
    }
    let log = candle_nn::ops::log_softmax(logits, 1)?;
    log.contiguous()?.gather(&y.unsqueeze(1)?, 1)?.squeeze(1)?.neg()
}

/// Logits with the extra class of GloRo behind them, `[B, C + 1]`.
pub fn gloro_logits(logits: &Tensor, worst: &Tensor, y: &Tensor) -> Result<Tensor> {
    let y = logit_labels("gloro_logits", logits, y)?;
    if worst.dims() != logits.dims() {
        bail!("gloro_logits: logits {:?} and worst logits {:?} differ in shape", logits.dims(), worst.dims());
    }
    if gpu::has_kernel(logits) && worst.dtype() == logits.dtype() {
        return fused::gloro_logits(logits, worst, &y);
    }
    let own = one_hot(&y, logits)?;
    let others = own.where_cond(&worst.ones_like()?.affine(0.0, -f64::MAX.min(dtype_max(worst)))?.detach(), worst)?;
    Tensor::cat(&[logits, &others.max_keepdim(1)?], 1)
}

/// Logits of the other classes raised by `sqrt(2) radius`, `[B, C]`: `radius` `[B]` is epsilon times a Lipschitz constant
/// of the whole network, and two logits' difference moves by at most sqrt(2) times the logits' own way.
pub fn lmt_logits(logits: &Tensor, radius: &Tensor, y: &Tensor) -> Result<Tensor> {
    let y = logit_labels("lmt_logits", logits, y)?;
    if radius.dims() != [logits.dim(0)?] {
        bail!("lmt_logits: {} samples want as many radii, got a tensor of shape {:?}", logits.dim(0)?, radius.dims());
    }
    let own = one_hot(&y, logits)?;
    let (z, by) = (logits.detach(), (radius.detach() * SQRT_2)?.unsqueeze(1)?);
    let raised = own.where_cond(&z, &z.broadcast_add(&by)?)?;
    differentiable("lmt_logits", raised, [logits, radius, radius], move |g, [_, to_radius, _]| {
        // Of the others, whatever their labels' own gradient is.
        let of_others = || own.where_cond(&g.zeros_like()?, g)?.sum(1)? * SQRT_2;
        Ok((Some(g.clone()), to_radius.then(of_others).transpose()?, None))
    })
}

/// The sparsity loss of one activation (Eq. 12), a scalar. `region` lies before a ReLU kind, behind clipped MaxMin, as
/// for the varying mask; `theta_weight` is t.
pub fn sparsity(activation: &Layer, region: &Region, theta_weight: f64) -> Result<Tensor> {
    let Some(clipping) = activation.activation("sparsity")?.clipping() else {
        bail!("sparsity: {} has no clipped side", activation.title())
    };
    let Excess { below, above } = clipping.excess(&region.lower()?, &region.upper()?)?;
    let below = below.mean_all()?;
    match above {
        Some(above) => below + (above.mean_all()? * theta_weight)?,
        None => Ok(below),
    }
}

fn dtype_max(t: &Tensor) -> f64 {
    if t.dtype() == DType::F64 { f64::MAX } else { f64::from(f32::MAX) }
}
