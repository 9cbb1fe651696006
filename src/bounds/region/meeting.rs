//! Ball and box behind branches on one input, from those behind each branch.
//!
//! ```text
//! sum             center, lower, upper: those of the branches added up    radius' = sum_b radius_b
//!                 lower' = max(lower', center' - radius')                 upper' = min(upper', center' + radius')
//! concatenation   one behind the other                                    radius' = sqrt(sum_b radius_b^2)
//! ```
//!
//! With radius_b = r L_b the sum's ball is that of `||W|| <= sum_b L_b`: the identity's branch is the region before.

use super::parts::Region;
use crate::bounds::outward::{self, Outward};
use crate::compute::elementwise::clip::{larger, smaller};
use crate::compute::norms::samples::{joint_norm, per_sample};
use crate::nn::Layer;
use crate::nn::layers::Meeting;
use candle_core::{Result, Tensor, bail};

/// The region behind `layer`, from those behind its branches, in their order. `box_alone`: the ball was given up, nothing is cut with it.
pub fn meet(layer: &Layer, parts: &[Region], box_alone: bool) -> Result<Region> {
    let Some(meeting) = layer.meeting() else { bail!("meet: {} has no branches", layer.title()) };
    if parts.len() != layer.branches.len() {
        bail!("meet: {} has {} branches, got {} regions", layer.title(), layer.branches.len(), parts.len());
    }
    for (part, list) in parts.iter().zip(&layer.branches) {
        part.expect_radius("meet")?;
        let want = list.last().map_or(&layer.input, |last| &last.output);
        if part.dims()[1..] != *want || part.dims()[0] != parts[0].dims()[0] {
            bail!("meet: {}: a branch gives {want:?}, got a region of shape {:?}", layer.title(), part.dims());
        }
    }
    if parts.iter().any(|part| part.rounding.is_some()) {
        let parts = parts.iter().map(rounded).collect::<Result<Vec<_>>>()?;
        return Region::of_outward(match meeting {
            Meeting::Sum => outward::added(&parts)?,
            Meeting::Concatenation => outward::side_by_side(&parts)?,
        });
    }
    let all = |part: fn(&Region) -> Result<Tensor>| meeting.of(&parts.iter().map(part).collect::<Result<Vec<_>>>()?);
    let (center, lower, upper) = (all(Region::center)?, all(Region::lower)?, all(Region::upper)?);
    let radii: Vec<_> = parts.iter().map(|part| part.radius.clone()).collect();
    let radius = match meeting {
        Meeting::Sum => Meeting::Sum.of(&radii)?,
        Meeting::Concatenation => joint_norm(&radii)?,
    };
    if box_alone || meeting == Meeting::Concatenation {
        return Region::new(&center, &lower, &upper, radius);
    }
    let reach = per_sample(&radius, &center)?;
    let lower = larger(&lower, &center.broadcast_sub(&reach)?)?;
    let upper = smaller(&upper, &center.broadcast_add(&reach)?)?;
    Region::new(&center, &lower, &upper, radius)
}

fn rounded(part: &Region) -> Result<Outward> {
    let Some(rounding) = &part.rounding else {
        bail!("meet: the region of one branch is rounded outward, that of another is not")
    };
    let (center, lower, upper) = (part.center()?, part.lower()?, part.upper()?);
    Ok(Outward { center, lower, upper, radius: part.radius.clone(), rounding: rounding.clone() })
}
