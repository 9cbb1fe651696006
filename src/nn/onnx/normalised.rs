//! Batch normalisations of a graph: folded into the layer before, where nobody else reads it.

use super::chain::{Found, Link};
use super::read::File;
use crate::nn::LayerSpec;
use crate::nn::layers::{BatchNorm2d, Conv2d, Linear};
use crate::nn::weights::Normalisation;
use candle_core::{Error, Result, Tensor};

/// A batch normalisation behind a layer that nobody else reads, folded into it; by itself else.
pub fn normalised(file: &File, link: &Link, numbers: [Tensor; 4], eps: f64) -> Result<(Found, bool)> {
    let before = link.made.as_ref().filter(|_| file.takers(&link.value) == 1);
    let before = before.filter(|found| found.spec.is::<Conv2d>() || found.spec.is::<Linear>());
    let Some(before) = before else {
        if link.shape.len() != 3 {
            return Err(Error::Msg("it normalises vectors and follows no linear layer".into()));
        }
        let all = ["weight", "bias", "running_mean", "running_var"].into_iter().zip(numbers).collect();
        return Ok((Found::new(LayerSpec::of(BatchNorm2d { eps, momentum: 0.1 }), all), false));
    };
    let own = |name: &str| before.parameters.iter().find(|(n, _)| n == name).map(|(_, t)| t);
    let Some(w) = own("weight") else { return Err(Error::Msg("the layer before it has no weight".into())) };
    let [weight, bias, mean, variance] = numbers;
    let norm = Normalisation { weight: Some(weight), bias: Some(bias), mean, variance, eps };
    let folded = norm.weight_behind(w)?.to_dtype(w.dtype())?;
    let shift = norm.bias_behind(own("bias"))?.to_dtype(w.dtype())?;
    let spec = match (before.spec.get::<Conv2d>(), before.spec.get::<Linear>()) {
        (Some(conv), _) => LayerSpec::of(Conv2d { bias: true, ..conv.clone() }),
        (_, Some(linear)) => LayerSpec::of(Linear { bias: true, ..linear.clone() }),
        _ => before.spec.clone(),
    };
    Ok((Found::new(spec, vec![("weight", folded), ("bias", shift)]), true))
}
