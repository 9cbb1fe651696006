//! A batch through layers, one after the other
//!
//! Where convolutions want the channels of a pixel side by side, the activations lie so from the first of them on: through further
//! convolutions, through what goes element by element or sorts halves of the channels, and through blocks of these. Everything else
//! gets plane by plane, and so does whoever asked.

use super::place::Layer;
use crate::compute::elementwise::clip::{clip, relu};
use crate::compute::elementwise::pairs::sorted_pairs_last;
use crate::compute::layout;
use crate::compute::layout::{Layout, ordered};
use crate::compute::region::value::conv2d_last;
use crate::nn::layers::{Dense, Fused, Role};
use candle_core::{Result, Tensor};

/// The value of `layers` on a batch `[B, input...]`; the batch itself where there are none.
pub fn forward(layers: &[Layer], x: &Tensor) -> Result<Tensor> {
    Batch::Planes(x.clone()).through(layers)?.planes()
}

/// A batch on its way.
#[derive(Clone)]
pub(super) enum Batch {
    /// `[B, ...]`, as every layer takes it.
    Planes(Tensor),
    /// `[B, H, W, C]`.
    ChannelsLast(Tensor),
}

impl Batch {
    pub(super) fn planes(self) -> Result<Tensor> {
        match self {
            Self::Planes(x) => Ok(x),
            Self::ChannelsLast(x) => ordered(&x, Layout::Nhwc, Layout::Nchw),
        }
    }

    fn through(self, layers: &[Layer]) -> Result<Self> {
        layers.iter().try_fold(self, Self::next)
    }

    /// Behind the next layer.
    pub(super) fn next(self, layer: &Layer) -> Result<Self> {
        if let Role::Branches(inside) = &layer.role {
            let parts = layer.branches.iter().map(|list| self.clone().through(list)).collect::<Result<Vec<_>>>()?;
            let last = parts.iter().filter_map(|part| part.channels_last().cloned()).collect::<Vec<_>>();
            return if last.len() == parts.len() {
                inside.meeting.along(3, &last).map(Self::ChannelsLast)
            } else {
                let planes = parts.into_iter().map(Self::planes).collect::<Result<Vec<_>>>()?;
                inside.meeting.of(&planes).map(Self::Planes)
            };
        }
        let last = match self.convolved(layer)? {
            Some(y) => Some(y),
            None => self.activated(layer)?,
        };
        match last {
            Some(y) => Ok(Self::ChannelsLast(y)),
            None => layer.forward(&self.planes()?).map(Self::Planes),
        }
    }

    fn channels_last(&self) -> Option<&Tensor> {
        match self {
            Self::ChannelsLast(x) => Some(x),
            Self::Planes(_) => None,
        }
    }

    /// Is it what the layer takes? Anything else goes on as planes, so that the layer refuses it by its name.
    fn fits(&self, layer: &Layer) -> bool {
        let dims = match self {
            Self::Planes(x) => x.dims().to_vec(),
            Self::ChannelsLast(x) => layout::planes(x.dims(), Layout::Nhwc),
        };
        // Of nothing there is nothing to put in order.
        dims.split_first().is_some_and(|(count, sample)| *count > 0 && sample == layer.input)
    }

    /// Behind a convolution that wants channels last.
    fn convolved(&self, layer: &Layer) -> Result<Option<Tensor>> {
        // Maps that are made of several have no weight, and nothing that keeps it in this order.
        let Some(weight) = layer.weight() else { return Ok(None) };
        if layout::wanted(weight.dtype(), weight.device(), &layer.precision) == Layout::Nchw || !self.fits(layer) {
            return Ok(None);
        }
        let Some(Dense::Convolution { weight, bias, window, prepared }) = layer.dense() else { return Ok(None) };
        let x = match self {
            Self::Planes(x) if x.dtype() != weight.dtype() || !x.device().same_device(weight.device()) => {
                return Ok(None);
            }
            Self::Planes(x) => &ordered(x, Layout::Nchw, Layout::Nhwc)?,
            Self::ChannelsLast(x) => x,
        };
        conv2d_last(x, &prepared.parts(&weight, Layout::Nhwc)?, bias.as_ref(), window).map(Some)
    }

    /// Behind an activation that has a form for `[B, H, W, C]`, of a batch that lies so.
    fn activated(&self, layer: &Layer) -> Result<Option<Tensor>> {
        let Some(x) = self.channels_last().filter(|_| self.fits(layer)) else { return Ok(None) };
        let last = |threshold: &Tensor| ordered(threshold, Layout::Nchw, Layout::Nhwc);
        let y = match layer.fused() {
            Some(Fused::Clip { threshold: None }) => relu(x)?,
            Some(Fused::Clip { threshold: Some(threshold) }) => clip(x, &last(&threshold)?)?,
            Some(Fused::Sort { thresholds: None }) => sorted_pairs_last(x, None)?,
            Some(Fused::Sort { thresholds: Some((most, least)) }) => {
                sorted_pairs_last(x, Some((&last(&most)?, &last(&least)?)))?
            }
            None => return Ok(None),
        };
        Ok(Some(y))
    }
}
