//! One layer at its place in a network: its operation with its parameters, its input and output shape.

use super::LayerSpec;
use crate::compute::conv::{Window, conv2d_bias};
use crate::compute::elementwise::clip::{clip, larger, relu, smaller};
use crate::compute::precision::Chosen;
use candle_core::{DType, Device, Result, Tensor, Var};

/// A layer of a [`super::Sequential`]. Cloning shares the parameters.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Position in the list of layers; parameters are called `{index}.weight` and so on.
    pub index: usize,
    pub spec: LayerSpec,
    pub operation: Operation,
    /// Shape of one sample before the layer, without the batch.
    pub input: Vec<usize>,
    /// Shape of one sample behind it.
    pub output: Vec<usize>,
    /// What a GPU multiplies in.
    pub precision: Chosen,
}

/// What a layer does, with the tensors it needs.
#[derive(Clone, Debug)]
pub enum Operation {
    Conv2d {
        weight: Tensor,
        bias: Option<Tensor>,
        window: Window,
    },
    Linear {
        weight: Tensor,
        bias: Option<Tensor>,
    },
    /// An average as a convolution of every channel by itself; `weight` is `[1, 1, k, k]`, all 1/k^2.
    AvgPool2d {
        weight: Tensor,
        window: Window,
    },
    /// `(x - mean) / std` per channel; `scale` = 1/std and `shift` = -mean/std, shaped to be broadcast over a batch.
    Normalize {
        scale: Tensor,
        shift: Tensor,
    },
    Flatten,
    Relu,
    /// ReLU-theta and ReLU6: clipped to [0, threshold].
    Clip {
        threshold: Tensor,
    },
    MaxMin,
    ClippedMaxMin {
        max: Tensor,
        min: Tensor,
    },
}

impl Layer {
    pub(super) fn new(
        index: usize,
        spec: &LayerSpec,
        input: &[usize],
        output: Vec<usize>,
        parameters: &[(&'static str, Var)],
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let find = |name: &str| parameters.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_tensor().clone());
        let get = |name: &str| find(name).ok_or_else(|| candle_core::Error::Msg(format!("layer {index}: no {name}")));
        let operation = match spec {
            LayerSpec::Conv2d { stride, padding, .. } => {
                Operation::Conv2d { weight: get("weight")?, bias: find("bias"), window: Window::new(*stride, *padding) }
            }
            LayerSpec::Linear { .. } => Operation::Linear { weight: get("weight")?, bias: find("bias") },
            LayerSpec::Flatten => Operation::Flatten,
            LayerSpec::Relu => Operation::Relu,
            LayerSpec::Relu6 => {
                let shape = [&[1], input].concat();
                Operation::Clip { threshold: Tensor::full(6f64, shape, device)?.to_dtype(dtype)? }
            }
            LayerSpec::ReluTheta { .. } => Operation::Clip { threshold: get("threshold")? },
            LayerSpec::MaxMin => Operation::MaxMin,
            LayerSpec::ClippedMaxMin { .. } => Operation::ClippedMaxMin { max: get("max")?, min: get("min")? },
            LayerSpec::AvgPool2d { kernel, stride } => Operation::AvgPool2d {
                weight: Tensor::full(1.0 / (kernel * kernel) as f64, (1, 1, *kernel, *kernel), device)?
                    .to_dtype(dtype)?,
                window: Window::new(*stride, 0),
            },
            LayerSpec::Normalize { mean, std } => {
                let mut shape = vec![1; input.len() + 1];
                shape[1] = mean.len();
                let make = |values: Vec<f64>| Tensor::from_vec(values, shape.clone(), device)?.to_dtype(dtype);
                Operation::Normalize {
                    scale: make(std.iter().map(|s| 1.0 / s).collect())?,
                    shift: make(mean.iter().zip(std).map(|(m, s)| -m / s).collect())?,
                }
            }
        };
        Ok(Self { index, spec: spec.clone(), operation, input: input.to_vec(), output, precision: Chosen::exact() })
    }

    /// The layer's value on a batch `[B, input...]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.operation {
            Operation::Conv2d { weight, bias: Some(bias), window } => {
                self.check("forward", x, &self.input)?;
                conv2d_bias(x, weight, bias, self.window(window))
            }
            Operation::Conv2d { .. }
            | Operation::Linear { .. }
            | Operation::AvgPool2d { .. }
            | Operation::Normalize { .. } => self.add_bias(&self.apply(x)?),
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => self.activate(x),
        }
    }

    /// The value of a layer that is not affine: an activation or flatten. All are monotone and 1-Lipschitz.
    pub fn activate(&self, x: &Tensor) -> Result<Tensor> {
        match &self.operation {
            Operation::Flatten => x.flatten_from(1),
            Operation::Relu => relu(x),
            Operation::Clip { threshold } => clip(x, threshold),
            Operation::MaxMin => {
                let (p, q) = halves(x)?;
                Tensor::cat(&[larger(&p, &q)?, smaller(&p, &q)?], 1)
            }
            Operation::ClippedMaxMin { max, min } => {
                let (p, q) = halves(x)?;
                Tensor::cat(&[smaller(&larger(&p, &q)?, max)?, larger(&smaller(&p, &q)?, min)?], 1)
            }
            Operation::Conv2d { .. }
            | Operation::Linear { .. }
            | Operation::AvgPool2d { .. }
            | Operation::Normalize { .. } => {
                candle_core::bail!("layer {} ({}) is no activation", self.index, self.spec.describe())
            }
        }
    }

    /// Convolution, linear, pooling, normalisation: a linear map and a bias.
    pub fn is_affine(&self) -> bool {
        match self.operation {
            Operation::Conv2d { .. }
            | Operation::Linear { .. }
            | Operation::AvgPool2d { .. }
            | Operation::Normalize { .. } => true,
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => false,
        }
    }

    /// Everything that is neither affine nor flatten.
    pub fn is_activation(&self) -> bool {
        match self.operation {
            Operation::Relu | Operation::Clip { .. } | Operation::MaxMin | Operation::ClippedMaxMin { .. } => true,
            Operation::Flatten
            | Operation::Conv2d { .. }
            | Operation::Linear { .. }
            | Operation::AvgPool2d { .. }
            | Operation::Normalize { .. } => false,
        }
    }

    /// An activation that is constant beyond a threshold: ReLU kinds and clipped MaxMin, not plain MaxMin.
    pub fn can_clip(&self) -> bool {
        match self.operation {
            Operation::Relu | Operation::Clip { .. } | Operation::ClippedMaxMin { .. } => true,
            Operation::MaxMin
            | Operation::Flatten
            | Operation::Conv2d { .. }
            | Operation::Linear { .. }
            | Operation::AvgPool2d { .. }
            | Operation::Normalize { .. } => false,
        }
    }

    /// MaxMin in either form: its mask is read behind it and bears on the columns of the next layer only.
    pub fn is_maxmin(&self) -> bool {
        match self.operation {
            Operation::MaxMin | Operation::ClippedMaxMin { .. } => true,
            Operation::Relu
            | Operation::Clip { .. }
            | Operation::Flatten
            | Operation::Conv2d { .. }
            | Operation::Linear { .. }
            | Operation::AvgPool2d { .. }
            | Operation::Normalize { .. } => false,
        }
    }

    /// Number of values in one sample of the input.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Number type and device of an affine layer's map.
    pub fn numbers(&self) -> Option<(DType, Device)> {
        match &self.operation {
            Operation::Conv2d { weight: t, .. }
            | Operation::Linear { weight: t, .. }
            | Operation::AvgPool2d { weight: t, .. }
            | Operation::Normalize { scale: t, .. } => Some((t.dtype(), t.device().clone())),
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => None,
        }
    }

    /// The layer with its parameters cut from the graph: gradients flow through it to its input only.
    pub fn frozen(&self) -> Self {
        let cut = |t: &Tensor| t.detach();
        let operation = match &self.operation {
            Operation::Conv2d { weight, bias, window } => {
                Operation::Conv2d { weight: cut(weight), bias: bias.as_ref().map(cut), window: *window }
            }
            Operation::Linear { weight, bias } => {
                Operation::Linear { weight: cut(weight), bias: bias.as_ref().map(cut) }
            }
            Operation::Clip { threshold } => Operation::Clip { threshold: cut(threshold) },
            Operation::ClippedMaxMin { max, min } => Operation::ClippedMaxMin { max: cut(max), min: cut(min) },
            // Nothing of these is trained.
            fixed @ (Operation::AvgPool2d { .. }
            | Operation::Normalize { .. }
            | Operation::Flatten
            | Operation::Relu
            | Operation::MaxMin) => fixed.clone(),
        };
        Self { operation, ..self.clone() }
    }
}

/// The first and the second half of the channels.
pub(crate) fn halves(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let half = x.dim(1)? / 2;
    Ok((x.narrow(1, 0, half)?, x.narrow(1, half, half)?))
}
