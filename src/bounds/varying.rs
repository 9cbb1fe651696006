//! Which outputs can vary inside a region (I_V, Eq. 3 and 9 of Huang et al. 2021): `[B, ...]` of u8, 1 where they can.
//!
//! ```text
//! ReLU            upper > 0                          from the box before the activation
//! ReLU-theta      upper > 0 and lower < theta        from the box before the activation
//! clipped MaxMin  lower_max < A, upper_min > B       from the box behind it, half by half
//! MaxMin          every output varies: no mask
//! no activation   upper > lower                      from the box behind the affine layer
//! ```

use super::region::Region;
use crate::compute::elementwise::clip::between;
use crate::compute::gpu;
use crate::nn::{Layer, Operation};
use candle_core::{DType, Result, Tensor, bail};

/// The mask that `activation` gives on `region`, which lies before it (ReLU kinds) or behind it (MaxMin kinds).
/// `None` for an activation all of whose outputs vary.
pub fn varying(activation: &Layer, region: &Region) -> Result<Option<Tensor>> {
    if let Some(mask) = region.varying(activation)? {
        return Ok(Some(mask));
    }
    let (lower, upper) = region.ends()?;
    let here = upper.device().is_cpu() || gpu::has_kernel(&upper);
    if let (Operation::Clip { threshold }, true) = (&activation.operation, here) {
        return between(&lower, &upper, threshold).map(Some);
    }
    // `not (upper <= 0)` rather than `upper > 0`: with a NaN in the box nothing may be called constant.
    let mask = match &activation.operation {
        Operation::Relu => not(&upper.le(0.0)?)?,
        Operation::Clip { threshold } => {
            let open = not(&upper.le(0.0)?)?;
            let below = not(&lower.broadcast_ge(threshold)?)?;
            (open * below)?
        }
        Operation::ClippedMaxMin { max, min } => {
            let half = upper.dim(1)? / 2;
            let top = not(&lower.narrow(1, 0, half)?.broadcast_ge(max)?)?;
            let bottom = not(&upper.narrow(1, half, half)?.broadcast_le(min)?)?;
            Tensor::cat(&[top, bottom], 1)?
        }
        Operation::MaxMin => return Ok(None),
        Operation::Flatten
        | Operation::Conv2d { .. }
        | Operation::Linear { .. }
        | Operation::AvgPool2d { .. }
        | Operation::Normalize { .. } => {
            bail!("varying: layer {} ({}) is no activation", activation.index, activation.spec.describe())
        }
    };
    Ok(Some(mask))
}

/// The mask behind an affine layer that no activation follows: constant is what has a box of width 0.
pub fn varying_box(region: &Region) -> Result<Tensor> {
    let (lower, upper) = region.ends()?;
    not(&upper.le(&lower)?)
}

/// Share of the outputs of each sample that vary, `[B]` in f32; all of them without a mask.
pub fn share_varying(mask: Option<&Tensor>, batch: usize, device: &candle_core::Device) -> Result<Tensor> {
    match mask {
        None => Tensor::ones(batch, DType::F32, device),
        Some(mask) => mask.to_dtype(DType::F32)?.flatten_from(1)?.mean(1),
    }
}

fn not(mask: &Tensor) -> Result<Tensor> {
    mask.eq(0u8)
}
