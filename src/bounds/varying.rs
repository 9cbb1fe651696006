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
use crate::nn::Layer;
use candle_core::{DType, Result, Tensor};

/// The mask that `activation` gives on `region`, which lies before it (ReLU kinds) or behind it (MaxMin kinds).
/// `None` for an activation all of whose outputs vary.
pub fn varying(activation: &Layer, region: &Region) -> Result<Option<Tensor>> {
    if let Some(mask) = region.varying(activation)? {
        return Ok(Some(mask));
    }
    let Some(clipping) = activation.activation("varying")?.clipping() else { return Ok(None) };
    let (lower, upper) = region.ends()?;
    clipping.varying(&lower, &upper).map(Some)
}

/// The mask behind an affine layer that no activation follows: constant is what has a box of width 0.
pub fn varying_box(region: &Region) -> Result<Tensor> {
    let (lower, upper) = region.ends()?;
    not(&upper.le(&lower)?)
}

/// Where `activation` is its input and a constant all over the box of `region`, which lies before it: `[B, ...]` of u8. `None` for one that
/// does not go element by element with slopes from 0 to 1, or of which nobody knows.
pub fn unclipped(activation: &Layer, region: &Region) -> Result<Option<Tensor>> {
    let Some(clipping) = activation.activation("unclipped")?.clipping() else { return Ok(None) };
    let (lower, upper) = region.ends()?;
    clipping.unclipped(&lower, &upper).transpose()
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
