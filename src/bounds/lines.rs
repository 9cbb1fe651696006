//! Linear lines of an activation over a region's box: `lower_slope x + lower_offset <= f(x) <= upper_slope x + upper_offset`.

use super::region::Region;
use crate::nn::Layer;
use crate::nn::layers::Relaxation;
use candle_core::{Result, bail};

/// The lines of `activation` over the box of `region`, which lies before it.
pub fn lines(activation: &Layer, region: &Region) -> Result<Relaxation> {
    let Some(lines) = activation.activation("lines")?.lines() else {
        bail!(
            "lines: {} has no linear lines over a box; take a bound that asks for none, or an activation that has them",
            activation.title()
        )
    };
    if region.dims()[1..] != activation.input {
        bail!(
            "lines: {} wants a region over a batch of {:?}, got one of shape {:?}",
            activation.title(),
            activation.input,
            region.dims()
        );
    }
    lines.over(&region.lower()?, &region.upper()?)
}
