//! Initial values of a layer's parameters, as published with the method.
//!
//! ```text
//! convolution   weight ~ N(0, sqrt(2 / (k k out_channels))), bias 0
//! linear        weight and bias ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in))
//! thresholds    the constants that the script gives
//! ```
//!
//! candle-nn's initialisers draw from a generator that cannot be seeded on the CPU, so the draws are our own.

use super::LayerSpec;
use crate::base::random::Generator;
use candle_core::{DType, Device, Result, Tensor, Var};

/// The parameters of `spec` for an input of shape `input`, by their short names (`weight`, `bias`, ...).
pub fn parameters(
    spec: &LayerSpec,
    input: &[usize],
    dtype: DType,
    device: &Device,
    random: &Generator,
) -> Result<Vec<(&'static str, Var)>> {
    let constant = |value: f64, shape: &[usize]| {
        let shape = [&[1], shape].concat();
        Var::from_tensor(&Tensor::full(value, shape, device)?.to_dtype(dtype)?)
    };
    Ok(match spec {
        LayerSpec::Conv2d { channels, kernel, bias, .. } => {
            let std = (2.0 / (kernel * kernel * channels) as f64).sqrt();
            let shape = [*channels, input[0], *kernel, *kernel];
            let weight = Var::from_tensor(&random.normal(0.0, std, &shape, dtype, device)?)?;
            let mut list = vec![("weight", weight)];
            if *bias {
                list.push(("bias", Var::zeros(*channels, dtype, device)?));
            }
            list
        }
        LayerSpec::Linear { features, bias } => {
            let bound = 1.0 / (input[0] as f64).sqrt();
            let draw = |shape: &[usize]| Var::from_tensor(&random.uniform(-bound, bound, shape, dtype, device)?);
            let mut list = vec![("weight", draw(&[*features, input[0]])?)];
            if *bias {
                list.push(("bias", draw(&[*features])?));
            }
            list
        }
        LayerSpec::ReluTheta { theta } => vec![("threshold", constant(*theta, input)?)],
        LayerSpec::ClippedMaxMin { max, min } => {
            let mut half = input.to_vec();
            half[0] /= 2;
            vec![("max", constant(*max, &half)?), ("min", constant(*min, &half)?)]
        }
        LayerSpec::Flatten
        | LayerSpec::Relu
        | LayerSpec::Relu6
        | LayerSpec::MaxMin
        | LayerSpec::AvgPool2d { .. }
        | LayerSpec::Normalize { .. } => vec![],
    })
}
