//! Batch normalisations of a graph: folded into the layer before, where nobody else reads it.

use super::chain::{Found, Link};
use super::read::File;
use crate::nn::LayerSpec;
use crate::nn::layers::{BatchNorm2d, Conv2d, Linear};
use candle_core::{DType, Error, Result, Tensor};

/// A batch normalisation behind a layer that nobody else reads, folded into it; by itself else.
pub fn normalised(file: &File, link: &Link, numbers: [Tensor; 4], eps: f64) -> Result<(Found, bool)> {
    let [weight, bias, mean, variance] = &numbers;
    let before = link.made.as_ref().filter(|_| file.takers(&link.value) == 1);
    let before = before.filter(|found| found.spec.is::<Conv2d>() || found.spec.is::<Linear>());
    let Some(before) = before else {
        if link.shape.len() != 3 {
            return Err(Error::Msg("it normalises vectors and follows no linear layer".into()));
        }
        let all = ["weight", "bias", "running_mean", "running_var"].into_iter().zip(numbers.clone()).collect();
        return Ok((Found::new(LayerSpec::of(BatchNorm2d { eps, momentum: 0.1 }), all), false));
    };
    let wide = |t: &Tensor| t.to_dtype(DType::F64);
    let scale = (wide(weight)? / (wide(variance)? + eps)?.sqrt()?)?;
    let own = |name: &str| before.parameters.iter().find(|(n, _)| n == name).map(|(_, t)| t);
    let (Some(w), b) = (own("weight"), own("bias")) else {
        return Err(Error::Msg("the layer before it has no weight".into()));
    };
    let shape = [&[w.dim(0)?][..], &vec![1; w.rank() - 1]].concat();
    let folded = wide(w)?.broadcast_mul(&scale.reshape(shape)?)?.to_dtype(w.dtype())?;
    let centred = match b {
        Some(b) => (wide(b)? - wide(mean)?)?,
        None => wide(mean)?.neg()?,
    };
    let shift = ((centred * scale)? + wide(bias)?)?.to_dtype(w.dtype())?;
    let spec = match (before.spec.get::<Conv2d>(), before.spec.get::<Linear>()) {
        (Some(conv), _) => LayerSpec::of(Conv2d { bias: true, ..conv.clone() }),
        (_, Some(linear)) => LayerSpec::of(Linear { bias: true, ..linear.clone() }),
        _ => before.spec.clone(),
    };
    Ok((Found::new(spec, vec![("weight", folded), ("bias", shift)]), true))
}
