//! Class labels: whole numbers from 0 to C - 1. A label that no class has would make up a logit.

use super::checked;
use candle_core::{DType, Result, Tensor, bail};

/// The labels `y` of `batch` samples as u32; an error, named after `op`, unless each is one of `classes` classes. `whose`
/// says in it where the classes come from: "there are", "the last layer has".
pub fn class_labels(op: &str, y: &Tensor, batch: usize, whose: &str, classes: usize) -> Result<Tensor> {
    if y.dims() != [batch] {
        bail!("{op}: {batch} samples want as many labels, got a tensor of shape {:?}", y.dims());
    }
    if !y.dtype().is_int() {
        bail!("{op}: labels are whole numbers, got {:?}; convert with to_dtype(\"u32\")", y.dtype());
    }
    if classes == 1 {
        bail!("{op}: {whose} one logit, which is two classes by its sign; take the network as model.two_classes()");
    }
    if checked::largest_label(y).is_some_and(|largest| largest < classes as i64) {
        return y.to_dtype(DType::U32)?.contiguous();
    }
    let wide = y.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    let largest = wide.iter().copied().max();
    if let Some(label) = wide.into_iter().find(|l| !(0..classes as i64).contains(l)) {
        bail!("{op}: label {label} does not exist, {whose} {classes} classes");
    }
    if let Some(largest) = largest {
        checked::note_labels(y, largest);
    }
    y.to_dtype(DType::U32)?.contiguous()
}

/// The labels of logits `[B, C]`, checked.
pub fn logit_labels(op: &str, logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    match logits.dims() {
        &[batch, classes] if batch > 0 => class_labels(op, y, batch, "there are", classes),
        other => bail!("{op}: logits [B, C] are wanted, got {other:?}"),
    }
}
