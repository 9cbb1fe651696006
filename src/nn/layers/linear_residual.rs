//! `linear_residual(kernel)`, `cholesky_linear()`: linear residual layers, x + s g W x, as one map
//!
//! ```text
//! linear_residual   kernel I + s g W, padded to keep the image's size      (LiResNet: Hu et al. 2023)
//! cholesky_linear   L^-1 X of X = I + s g W, of norm below 1                (Cholesky-orthogonalised: Hu et al. 2024)
//! ```
//!
//! s is a number, published as depth^-1/2; g a learnt number for each output channel, which starts at 1.
//! Start: W and bias U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

use super::conv2d::Conv2d;
use super::entry::{Argument, Entry, Takes, image};
use super::linear::Linear;
use super::made::{Made, Making, read_made, torch_start, vector, weight_and_bias, without_bias};
use super::spec::{LayerSpec, Parameter, Place, Start};
use crate::compute::orthogonal::{residual, triangular};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearResidual {
    pub kernel: usize,
    pub scale: f64,
    pub bias: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CholeskyLinear {
    pub scale: f64,
    pub bias: bool,
}

pub const CONV2D: Entry = Entry {
    name: "linear_residual",
    arguments: &[Argument { name: "kernel", takes: Takes::Positive("the kernel size") }],
    options: &[Argument { name: "scale", takes: Takes::Number }, Argument { name: "bias", takes: Takes::Flag }],
    make: |given| {
        LayerSpec::of(Made(LinearResidual {
            kernel: given.count("kernel", 1),
            scale: given.number("scale", 1.0),
            bias: given.flag("bias", true),
        }))
    },
    read: read_made::<LinearResidual>,
};

pub const LINEAR: Entry = Entry {
    name: "cholesky_linear",
    arguments: &[],
    options: &[Argument { name: "scale", takes: Takes::Number }, Argument { name: "bias", takes: Takes::Flag }],
    make: |given| {
        LayerSpec::of(Made(CholeskyLinear { scale: given.number("scale", 1.0), bias: given.flag("bias", true) }))
    },
    read: read_made::<CholeskyLinear>,
};

/// A scale that is none would be said by no later error.
fn finite(scale: f64) -> std::result::Result<(), String> {
    if scale.is_finite() { Ok(()) } else { Err(format!("a scale of {scale}; a number is wanted")) }
}

/// `I + s g W`, g along the first axis.
fn merged(place: &Place, scale: f64) -> Result<Tensor> {
    residual(&place.parameter("weight")?, &place.parameter("gain")?, scale)
}

fn with_gain(weight: &[usize], bias: bool, fan_in: usize) -> Vec<Parameter> {
    let mut list = weight_and_bias(weight, bias.then_some(weight[0]), &torch_start(fan_in));
    list.insert(1, Parameter::new("gain", &[weight[0]], Start::Constant(1.0)));
    list
}

impl Making for LinearResidual {
    fn entry(&self) -> &'static Entry {
        &CONV2D
    }

    fn describe(&self) -> String {
        let Self { kernel, scale, bias } = self;
        format!("linear_residual({kernel}, #{{ scale: {scale}{} }})", without_bias(*bias))
    }

    fn plain(&self, input: &[usize]) -> std::result::Result<LayerSpec, String> {
        let [channels, ..] = image(input)?;
        finite(self.scale)?;
        if self.kernel.is_multiple_of(2) {
            return Err(format!("a {0}x{0} kernel has no pixel in its middle; take an odd one", self.kernel));
        }
        Ok(LayerSpec::of(Conv2d {
            channels,
            kernel: self.kernel,
            stride: 1,
            padding: self.kernel / 2,
            bias: self.bias,
        }))
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (k, c) = (self.kernel, image(input).map_or(1, |[c, ..]| c));
        with_gain(&[c, c, k, k], self.bias, c * k * k)
    }

    fn weight(&self, place: &Place) -> Result<Tensor> {
        merged(place, self.scale)
    }
}

impl Making for CholeskyLinear {
    fn entry(&self) -> &'static Entry {
        &LINEAR
    }

    fn describe(&self) -> String {
        format!("cholesky_linear(#{{ scale: {}{} }})", self.scale, without_bias(self.bias))
    }

    fn plain(&self, input: &[usize]) -> std::result::Result<LayerSpec, String> {
        finite(self.scale)?;
        Ok(LayerSpec::of(Linear { features: vector(input)?, bias: self.bias }))
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let n = vector(input).unwrap_or(1);
        with_gain(&[n, n], self.bias, n)
    }

    fn weight(&self, place: &Place) -> Result<Tensor> {
        triangular(&merged(place, self.scale)?)
    }
}
