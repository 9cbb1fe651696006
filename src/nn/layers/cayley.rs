//! `cayley_conv2d(channels, kernel)`, `cayley_linear(features)`: orthogonal layers by the Cayley transform (Trockman & Kolter 2021)
//!
//! ```text
//! M = alpha W / ||W||_F      Q = cayley(M)     all singular values 1     ([`crate::compute::orthogonal`])
//! ```
//!
//! Of a convolution per frequency: square images, around whose edges the kernel goes. A stride s is a pixel unshuffle before, and a kernel of
//! max(1, k / s) on s^2 times the channels. Only the direction of W matters; alpha starts as the norm, so that M = W.

use super::circular::Circular;
use super::entry::{Argument, CONVOLUTION, DENSE, Entry, Takes, image, read, settings};
use super::graph::Graph;
use super::linear::Linear;
use super::made::{Made, Making, NormOf, made, read_made, torch_start, vector, weight_and_bias, without_bias};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use crate::compute::frequency::spectrum_norm;
use crate::compute::orthogonal::{cayley, cayley_by_frequency};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CayleyConv2d {
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    pub bias: bool,
    pub train_alpha: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CayleyLinear {
    pub features: usize,
    pub bias: bool,
    pub train_alpha: bool,
}

pub const CONV2D: Entry = Entry {
    name: "cayley_conv2d",
    arguments: CONVOLUTION,
    options: &[
        Argument { name: "stride", takes: Takes::AtLeast(1) },
        Argument { name: "bias", takes: Takes::Flag },
        Argument { name: "train_alpha", takes: Takes::Flag },
    ],
    make: |given| {
        LayerSpec::of(CayleyConv2d {
            channels: given.count("channels", 1),
            kernel: given.count("kernel", 1),
            stride: given.count("stride", 1),
            bias: given.flag("bias", true),
            train_alpha: given.flag("train_alpha", true),
        })
    },
    read: read::<CayleyConv2d>,
};

pub const LINEAR: Entry = Entry {
    name: "cayley_linear",
    arguments: DENSE,
    options: &[Argument { name: "bias", takes: Takes::Flag }, Argument { name: "train_alpha", takes: Takes::Flag }],
    make: |given| {
        LayerSpec::of(Made(CayleyLinear {
            features: given.count("features", 1),
            bias: given.flag("bias", true),
            train_alpha: given.flag("train_alpha", true),
        }))
    },
    read: read_made::<CayleyLinear>,
};

/// Weight, alpha, and a bias where there is one.
fn weight_alpha_bias(weight: &[usize], bias: bool, fan_in: usize, start: NormOf, train_alpha: bool) -> Vec<Parameter> {
    let mut list = weight_and_bias(weight, bias.then_some(weight[0]), &torch_start(fan_in));
    let alpha = Parameter::new("alpha", &[1], Start::After(Rc::new(start)));
    list.insert(1, Parameter { is_trained: train_alpha, ..alpha });
    list
}

/// ", #{ ... }" of what is not as it is by itself.
fn written(bias: bool, train_alpha: bool) -> String {
    let alpha = if train_alpha { "" } else { ", train_alpha: false" };
    format!("{}{alpha}", without_bias(bias))
}

impl CayleyConv2d {
    /// Side of the images that the kernel goes around in, its own side, and the channels before it.
    fn sizes(&self, input: &[usize]) -> std::result::Result<[usize; 3], String> {
        let ([c, h, w], s) = (image(input)?, self.stride);
        if h != w || h == 0 {
            return Err(format!("it goes around square images, its input is {h}x{w}"));
        }
        if !h.is_multiple_of(s) {
            return Err(format!("a stride of {s} does not divide its {h}x{w} input"));
        }
        let (n, k) = (h / s, (self.kernel / s).max(1));
        match s.checked_mul(s).and_then(|square| c.checked_mul(square)) {
            Some(channels) if k <= n => Ok([n, k, channels]),
            Some(_) => Err(format!("a {k}x{k} kernel does not fit into the {n}x{n} image that it goes around in")),
            None => Err(format!("a stride of {s} makes more channels of {c} than can be counted")),
        }
    }

    /// At its place.
    fn map(&self, place: &Place) -> Result<Circular> {
        let [n, ..] = self.sizes(place.input).map_err(candle_core::Error::Msg)?;
        let weight = place.parameter("weight")?;
        let scale = place.parameter("alpha")?.broadcast_div(&spectrum_norm(&weight, n)?)?;
        let q = cayley_by_frequency(&weight.broadcast_mul(&scale)?, n)?;
        Ok(Circular::over(place.input, self.channels, (self.stride, 0), q, place.optional("bias")))
    }
}

impl Kind for CayleyConv2d {
    fn name(&self) -> &str {
        CONV2D.name
    }

    fn describe(&self) -> String {
        let Self { channels, kernel, stride, bias, train_alpha } = self;
        format!("cayley_conv2d({channels}, {kernel}, #{{ stride: {stride}{} }})", written(*bias, *train_alpha))
    }

    fn own(&self) -> Vec<Own> {
        made(CONV2D.name)
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let [n, ..] = self.sizes(input)?;
        if self.channels > 0 { Ok(vec![self.channels, n, n]) } else { Err("it has no output channels".into()) }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let [n, k, channels] = self.sizes(input).unwrap_or([1; 3]);
        let start = NormOf(spectrum_norm, n);
        weight_alpha_bias(&[self.channels, channels, k, k], self.bias, channels * k * k, start, self.train_alpha)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Affine(Rc::new(self.map(place)?)))
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        self.map(place)?.drawn(place, graph, x)
    }
}

impl Making for CayleyLinear {
    fn entry(&self) -> &'static Entry {
        &LINEAR
    }

    fn describe(&self) -> String {
        let options = written(self.bias, self.train_alpha);
        match options.strip_prefix(", ") {
            Some(options) => format!("cayley_linear({}, #{{ {options} }})", self.features),
            None => format!("cayley_linear({})", self.features),
        }
    }

    fn plain(&self, _: &[usize]) -> std::result::Result<LayerSpec, String> {
        Ok(LayerSpec::of(Linear { features: self.features, bias: self.bias }))
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let inputs = vector(input).unwrap_or(1);
        let start = NormOf(|weight, _| weight.sqr()?.sum_all()?.sqrt(), 0);
        weight_alpha_bias(&[self.features, inputs], self.bias, inputs, start, self.train_alpha)
    }

    fn weight(&self, place: &Place) -> Result<Tensor> {
        let weight = place.parameter("weight")?;
        let scale = place.parameter("alpha")?.broadcast_div(&weight.sqr()?.sum_all()?.sqrt()?)?;
        cayley(&weight.broadcast_mul(&scale)?)
    }
}
