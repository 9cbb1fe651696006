//! `aol_conv2d(channels, kernel)`, `aol_linear(features)`: almost orthogonal layers (Prach & Lampert 2022), `W diag(d)^-1/2`, of norm at most 1
//! whatever W is ([`crate::compute::orthogonal::rescaled`]); with a stride sound, and loose.
//!
//! Start: weight and bias U(-1/sqrt(fan_in), 1/sqrt(fan_in)), of which the scale does not matter.

use super::conv2d::Conv2d;
use super::entry::{Argument, CONVOLUTION, DENSE, Entry, Takes, dense_shown, image};
use super::linear::Linear;
use super::made::{Made, Making, of_linear, read_made, torch_start, weight_and_bias, without_bias};
use super::spec::{LayerSpec, Parameter, Place};
use crate::compute::orthogonal::rescaled;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AolConv2d {
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub bias: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AolLinear {
    pub features: usize,
    pub bias: bool,
}

pub const CONV2D: Entry = Entry {
    name: "aol_conv2d",
    arguments: CONVOLUTION,
    options: &[
        Argument { name: "stride", takes: Takes::AtLeast(1) },
        Argument { name: "padding", takes: Takes::AtLeast(0) },
        Argument { name: "bias", takes: Takes::Flag },
    ],
    make: |given| {
        LayerSpec::of(Made(AolConv2d {
            channels: given.count("channels", 1),
            kernel: given.count("kernel", 1),
            stride: given.count("stride", 1),
            padding: given.count("padding", 0),
            bias: given.flag("bias", true),
        }))
    },
    read: read_made::<AolConv2d>,
};

pub const LINEAR: Entry = Entry {
    name: "aol_linear",
    arguments: DENSE,
    options: &[Argument { name: "bias", takes: Takes::Flag }],
    make: |given| {
        LayerSpec::of(Made(AolLinear { features: given.count("features", 1), bias: given.flag("bias", true) }))
    },
    read: read_made::<AolLinear>,
};

impl Making for AolConv2d {
    fn entry(&self) -> &'static Entry {
        &CONV2D
    }

    fn describe(&self) -> String {
        let Self { channels, kernel, stride, padding, bias } = self;
        let bias = without_bias(*bias);
        format!("aol_conv2d({channels}, {kernel}, #{{ stride: {stride}, padding: {padding}{bias} }})")
    }

    fn plain(&self, _: &[usize]) -> std::result::Result<LayerSpec, String> {
        let Self { channels, kernel, stride, padding, bias } = *self;
        Ok(LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias }))
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (k, inputs) = (self.kernel, image(input).map_or(1, |[c, ..]| c));
        let start = torch_start(inputs * k * k);
        weight_and_bias(&[self.channels, inputs, k, k], self.bias.then_some(self.channels), &start)
    }

    fn weight(&self, place: &Place) -> Result<Tensor> {
        rescaled(&place.parameter("weight")?)
    }
}

impl Making for AolLinear {
    fn entry(&self) -> &'static Entry {
        &LINEAR
    }

    fn describe(&self) -> String {
        dense_shown(LINEAR.name, self.features, self.bias)
    }

    fn plain(&self, _: &[usize]) -> std::result::Result<LayerSpec, String> {
        Ok(LayerSpec::of(Linear { features: self.features, bias: self.bias }))
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        of_linear(self.features, self.bias, input)
    }

    fn weight(&self, place: &Place) -> Result<Tensor> {
        rescaled(&place.parameter("weight")?)
    }
}
