//! Linear lines of an activation over a region's box: `lower_slope x + lower_offset <= f(x) <= upper_slope x + upper_offset`.

use super::rounding;
use crate::bounds::region::Region;
use crate::nn::Layer;
use crate::nn::layers::{Choice, Relaxation, Slope, exchanged};
use candle_core::{Result, Tensor, bail};

/// The lines of `activation` over the box of `region`, which lies before it; over a region that is rounded outward they hold whatever their
/// numbers' roundings.
pub fn lines(activation: &Layer, region: &Region, choice: &Choice) -> Result<Relaxation> {
    let found = plain("lines", activation, region, choice)?;
    match region.rounding {
        None => Ok(found),
        Some(_) => {
            for slope in [&choice.lower, &choice.upper] {
                if let Slope::Share(share) = slope {
                    expect_share(activation, share)?;
                }
            }
            rounding::widened(found, activation.activation("lines")?, [&region.lower()?, &region.upper()?])
        }
    }
}

/// A slope outside of the right ones bounds nothing.
fn expect_share(activation: &Layer, share: &Tensor) -> Result<()> {
    let all = share.detach().flatten_all()?;
    let (least, most) = (all.min(0)?.to_scalar::<f64>()?, all.max(0)?.to_scalar::<f64>()?);
    if least >= 0.0 && most <= 1.0 {
        return Ok(());
    }
    bail!("lines: {}: shares of slopes go from {least} to {most}, they lie in [0, 1]; clamp them", activation.title())
}

fn plain(op: &str, activation: &Layer, region: &Region, choice: &Choice) -> Result<Relaxation> {
    let Some(lines) = activation.activation(op)?.lines() else {
        bail!(
            "{op}: {} has no linear lines over a box; take a bound that asks for none, or an activation that has them",
            activation.title()
        )
    };
    if region.dims()[1..] != activation.input {
        bail!(
            "{op}: {} wants a region over a batch of {:?}, got one of shape {:?}",
            activation.title(),
            activation.input,
            region.dims()
        );
    }
    let (lower, upper) = (region.lower()?, region.upper()?);
    for slope in [&choice.lower, &choice.upper] {
        if let Slope::Share(share) = slope
            && (share.dims() != lower.dims() || share.dtype() != lower.dtype())
        {
            bail!(
                "{op}: {} wants a share of each slope in {:?} of {:?}, got {:?} of {:?}",
                activation.title(),
                lower.dims(),
                lower.dtype(),
                share.dims(),
                share.dtype()
            );
        }
    }
    lines.over(&lower, &upper, choice)
}

/// Which inputs of an activation decide how far its lines over a region lie apart: of u8 `[B, ...]`; of a pair both.
pub fn uncertain(activation: &Layer, region: &Region) -> Result<Tensor> {
    let found = plain("uncertain", activation, region, &Choice::default())?;
    let apart = |a: &Tensor, b: &Tensor| a.detach().ne(&b.detach());
    let all = (apart(&found.lower_slope, &found.upper_slope)? + apart(&found.lower_offset, &found.upper_offset)?)?;
    let all = match &found.partners {
        None => all,
        Some([low, high]) => {
            let own = (all + apart(low, high)?)?.gt(0u8)?;
            (&own + exchanged(&own, 1)?)?
        }
    };
    all.gt(0u8)
}
