//! Through an affine layer in one operation: what `affine` comes to, by a kernel or in closed form, where there is one
//!
//! ```text
//! of the ball around images and its box:  c = center', h = radius (|W| 1)
//! ```

use super::parts::{Parts, Region};
use crate::compute::autograd::tape::Tracked;
use crate::compute::gpu;
use crate::compute::layout;
use crate::compute::region;
use crate::compute::region::center_radius::CenterRadius;
use crate::compute::region::gpu::PreActivation;
use crate::compute::region::weights::Map;
use crate::nn::Layer;
use crate::nn::layers::Dense;
use candle_core::{Result, Tensor};

impl Region {
    /// Through a convolution or a linear layer on a device with kernels, as its products.
    pub(super) fn pre_activation(&self, layer: &Layer) -> Result<Option<Parts>> {
        let (weight, bias, map, prepared) = match layer.dense() {
            Some(Dense::Convolution { weight, bias, window, prepared }) => {
                let layout = layout::wanted(weight.dtype(), weight.device(), &layer.precision);
                (weight, bias, Map::Conv(window, layout), prepared)
            }
            Some(Dense::Matrix { weight, bias, prepared }) => {
                (weight, bias, Map::Linear(layer.precision.get()), prepared)
            }
            Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => return Ok(None),
        };
        let here = gpu::has_kernel(&weight) && self.radius.dtype() == weight.dtype() && self.dims()[0] > 0;
        if !here || self.dims()[1..] != layer.input {
            return Ok(None);
        }
        let parts = prepared.parts(&weight, map.layout())?;
        let middles = match &self.parts {
            Parts::Around(around) if around.is_closed(&self.radius) => {
                let own = (&parts, bias.as_ref());
                return PreActivation::around(&around.x, own, &self.radius, map, &layer.output)
                    .map(|made| Some(Parts::PreActivation(made)));
            }
            Parts::CenterRadius(middles) => middles.clone(),
            Parts::Ends(_) | Parts::PreActivation(_) | Parts::Around(_) => CenterRadius::of_ends(&self.all()?)?,
        };
        let made = PreActivation::new(&middles, (&parts, bias.as_ref()), &self.radius, map, &layer.output)?;
        Ok(Some(Parts::PreActivation(made)))
    }

    /// A ball around images through any layer on the CPU, in closed form.
    pub(super) fn closed(&self, layer: &Layer) -> Result<Option<Tracked>> {
        let Parts::Around(around) = &self.parts else { return Ok(None) };
        let own = self.dims()[1..] == layer.input && around.is_closed(&self.radius);
        // A map of each sample's own has no |W| 1 for all.
        if !own
            || layer.each_sample()?.is_some()
            || !around.x.device().is_cpu()
            || layer.numbers().is_none_or(|(dtype, _)| dtype != around.x.dtype())
        {
            return Ok(None);
        }
        let ones = Tensor::ones([&[1], &self.dims()[1..]].concat(), around.x.dtype(), around.x.device())?;
        // What a layer does not have it refuses before it computes anything.
        let (sums, norms) = (layer.apply_absolute(&ones)?, layer.row_norms()?);
        region::around::affine(&layer.forward(&around.x)?, &around.radius, &sums, &norms).map(Some)
    }

    /// Through a convolution or a linear layer in one operation on the CPU, where there is one for it.
    pub(super) fn at_once(&self, layer: &Layer, reach: &Tensor) -> Result<Option<Tracked>> {
        if self.dims()[1..] != layer.input || reach.dim(0)? != self.dims()[0] {
            return Ok(None);
        }
        let parts = self.all()?;
        let offsets = |bias: &Option<Tensor>| {
            let bias = match bias {
                Some(bias) => bias.unsqueeze(0)?,
                None => reach.narrow(0, 0, 1)?.zeros_like()?.detach(),
            };
            Tensor::cat(&[reach, &bias], 0)
        };
        match layer.dense() {
            #[cfg(target_arch = "x86_64")]
            Some(Dense::Convolution { weight, bias, window, .. })
                if region::conv::covers(parts.value(), &weight, window)? =>
            {
                region::conv::affine(&parts, &weight, &offsets(&bias)?, window).map(Some)
            }
            Some(Dense::Matrix { weight, bias, .. }) if region::linear::covers(parts.value(), &weight) => {
                region::linear::affine(&parts, &weight, &offsets(&bias)?).map(Some)
            }
            // By the layer's own products.
            Some(
                Dense::Convolution { .. } | Dense::Matrix { .. } | Dense::EachChannel { .. } | Dense::Diagonal { .. },
            )
            | None => Ok(None),
        }
    }
}
