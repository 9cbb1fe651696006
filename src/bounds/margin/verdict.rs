//! The only judge of a margin: what is finite and above 0 is right, or certified
//!
//! ```text
//! margin = logit_y - max_{j != y} logit_j       NaN where any logit is NaN, or the label's is infinite
//! ```
//!
//! A tie, a NaN and an infinite margin count as no, so that a broken network cannot look certified.

use crate::compute::labels::logit_labels;
use crate::compute::{gpu, losses as on_gpu};
use candle_core::{D, DType, Result, Tensor};

/// Share of samples whose label has strictly the highest logit. Ties and NaN count as wrong.
pub fn accuracy(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    if gpu::has_kernel(logits) {
        return on_gpu::accuracy(logits, &logit_labels("accuracy", logits, y)?);
    }
    correct(logits, y)?.to_dtype(DType::F32)?.mean_all()
}

/// Which samples have their label strictly above every other class: `[B]` u8. With worst logits: which are certified.
/// A tie, a NaN or an infinite margin counts as no.
pub fn correct(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let margin = margins(logits, y)?;
    margin.gt(0.0)?.mul(&margin.lt(f64::INFINITY)?)
}

/// `logit_y - max_{j != y} logit_j` of each sample, `[B]`; NaN where any logit is NaN or the label's is infinite.
pub fn margins(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let y = logit_labels("margins", logits, y)?;
    if gpu::has_kernel(logits) {
        return on_gpu::margins(logits, &y);
    }
    let logits = logits.detach().contiguous()?;
    let own = logits.gather(&y.unsqueeze(1)?, 1)?;
    let mask = one_hot(&y, &logits)?;
    let lowest = logits.ones_like()?.affine(0.0, f64::NEG_INFINITY)?;
    let others = mask.where_cond(&lowest, &logits)?.max_keepdim(1)?;
    // A maximum may skip a NaN; adding 0 x sum brings it back, and turns infinite logits into NaN as well.
    let poison = (logits.sum_keepdim(1)? * 0.0)?;
    ((own - others)? + poison)?.squeeze(1)
}

/// u8 `[B, C]`: 1 at the label.
pub fn one_hot(y: &Tensor, logits: &Tensor) -> Result<Tensor> {
    let classes = Tensor::arange(0u32, logits.dim(D::Minus1)? as u32, logits.device())?;
    y.unsqueeze(1)?.broadcast_eq(&classes.unsqueeze(0)?)
}
