//! What a script writes for a layer, before the sizes are known: `conv2d(32, 3, #{ padding: 1 })`.
//!
//! A specification knows its output shape given an input shape, and can be written into a weights file, so that the
//! file alone is enough to build the network again.

use crate::compute::conv::Window;
use serde::{Deserialize, Serialize};

/// One layer of a network; sizes that follow from the input are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerSpec {
    Conv2d {
        channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        bias: bool,
    },
    Linear {
        features: usize,
        bias: bool,
    },
    Flatten,
    Relu,
    Relu6,
    ReluTheta {
        theta: f64,
    },
    #[serde(rename = "maxmin")]
    MaxMin,
    #[serde(rename = "clipped_maxmin")]
    ClippedMaxMin {
        max: f64,
        min: f64,
    },
    #[serde(rename = "avg_pool2d")]
    AvgPool2d {
        kernel: usize,
        stride: usize,
    },
    Normalize {
        mean: Vec<f64>,
        std: Vec<f64>,
    },
}

impl LayerSpec {
    /// The layer as a script would write it.
    pub fn describe(&self) -> String {
        match self {
            Self::Conv2d { channels, kernel, stride, padding, bias } => {
                let bias = if *bias { "" } else { ", bias: false" };
                format!("conv2d({channels}, {kernel}, #{{ stride: {stride}, padding: {padding}{bias} }})")
            }
            Self::Linear { features, bias: true } => format!("linear({features})"),
            Self::Linear { features, bias: false } => format!("linear({features}, #{{ bias: false }})"),
            Self::Flatten => "flatten()".into(),
            Self::Relu => "relu()".into(),
            Self::Relu6 => "relu6()".into(),
            Self::ReluTheta { theta } => format!("relu_theta({theta:?})"),
            Self::MaxMin => "maxmin()".into(),
            Self::ClippedMaxMin { max, min } => format!("clipped_maxmin({max:?}, {min:?})"),
            Self::AvgPool2d { kernel, stride } => format!("avg_pool2d({kernel}, #{{ stride: {stride} }})"),
            Self::Normalize { mean, std } => format!("normalize({mean:?}, {std:?})"),
        }
    }

    /// Number of parameters over an input of shape `input`; `None` if it cannot even be counted.
    pub fn parameter_count(&self, input: &[usize]) -> Option<u128> {
        let inputs = input.iter().try_fold(1u128, |n, d| n.checked_mul(*d as u128))?;
        match self {
            Self::Conv2d { channels, kernel, .. } => {
                [input[0], *kernel, *kernel].iter().try_fold(*channels as u128, |n, d| n.checked_mul(*d as u128))
            }
            Self::Linear { features, .. } => inputs.checked_mul(*features as u128),
            // Thresholds at most one for each input; relu6 has a constant one of that size.
            Self::ReluTheta { .. }
            | Self::ClippedMaxMin { .. }
            | Self::Flatten
            | Self::Relu
            | Self::Relu6
            | Self::MaxMin
            | Self::AvgPool2d { .. }
            | Self::Normalize { .. } => Some(inputs),
        }
    }

    /// The shape of one sample behind this layer, or why an input of shape `input` does not fit.
    pub fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let image = || match input {
            [c, h, w] => Ok((*c, *h, *w)),
            [_] => Err(format!(
                "it wants an image [C, H, W], its input is a vector of shape {input:?}; images are given as [n, C, H, W], vectors go \
                 through linear layers"
            )),
            _ => Err(format!("it wants an image [C, H, W], its input has shape {input:?}")),
        };
        match self {
            Self::Conv2d { channels, kernel, stride, padding, .. } => {
                let (_, h, w) = image()?;
                let window = Window::new(*stride, *padding);
                match (window.output(h, *kernel), window.output(w, *kernel)) {
                    (Some(h), Some(w)) if *channels > 0 => Ok(vec![*channels, h, w]),
                    (Some(_), Some(_)) => Err("it has no output channels".into()),
                    _ => Err(format!(
                        "a {kernel}x{kernel} kernel with stride {stride} and padding {padding} does not fit its {h}x{w} input"
                    )),
                }
            }
            Self::AvgPool2d { kernel, stride } => {
                let (c, h, w) = image()?;
                let window = Window::new(*stride, 0);
                match (window.output(h, *kernel), window.output(w, *kernel)) {
                    (Some(h), Some(w)) => Ok(vec![c, h, w]),
                    _ => Err(format!("a {kernel}x{kernel} pool with stride {stride} does not fit its {h}x{w} input")),
                }
            }
            Self::Linear { features, .. } => match input {
                [_] if *features > 0 => Ok(vec![*features]),
                [_] => Err("it has no output features".into()),
                _ => Err(format!("it wants a vector, its input has shape {input:?}; put flatten() before it")),
            },
            Self::Flatten => Ok(vec![input.iter().product()]),
            Self::Relu | Self::Relu6 => Ok(input.to_vec()),
            Self::ReluTheta { theta } if *theta >= 0.0 && theta.is_finite() => Ok(input.to_vec()),
            Self::ReluTheta { theta } => Err(format!("theta is {theta}, it must be finite and at least 0")),
            Self::MaxMin | Self::ClippedMaxMin { .. } if !input[0].is_multiple_of(2) => {
                Err(format!("it pairs the two halves of the channels and cannot split {} of them", input[0]))
            }
            Self::MaxMin => Ok(input.to_vec()),
            Self::ClippedMaxMin { max, min } if max.is_finite() && min.is_finite() => Ok(input.to_vec()),
            Self::ClippedMaxMin { max, min } => Err(format!("its thresholds are {max} and {min}, they must be finite")),
            Self::Normalize { mean, std } => {
                let channels = input[0];
                for (name, values) in [("mean", mean), ("std", std)] {
                    if values.len() != channels {
                        return Err(format!("{name} has {} values for {channels} channels", values.len()));
                    }
                }
                match std.iter().chain(mean).all(|v| v.is_finite()) && std.iter().all(|s| *s > 0.0) {
                    true => Ok(input.to_vec()),
                    false => Err(format!("mean {mean:?} and std {std:?} must be finite, std above 0")),
                }
            }
        }
    }
}
