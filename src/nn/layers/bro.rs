//! `bro_conv2d(channels, kernel)`, `bro_linear(features)`: block reflectors (BRO: Lai et al. 2025), `I - 2 V (V^H V)^-1 V^H`
//!
//! ```text
//! c = max(inputs, outputs), V c x r      inputs are padded with zeros to c, outputs beyond theirs are left out
//! ```
//!
//! Of a convolution per frequency of the image with `padding` zeros on each side, which is cropped off behind: orthogonal before the crop, a
//! norm of at most 1 after it. A stride is a pixel unshuffle before. Start: V and bias U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

use super::circular::Circular;
use super::entry::{Argument, CONVOLUTION, DENSE, Entry, Takes, image, read, settings};
use super::graph::Graph;
use super::linear::Linear;
use super::made::{Made, Making, made, read_made, torch_start, vector, weight_and_bias, without_bias};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use crate::compute::orthogonal::{reflected, reflected_by_frequency};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroConv2d {
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    /// 0: half of the channels.
    pub rank: usize,
    pub bias: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroLinear {
    pub features: usize,
    pub rank: usize,
    pub bias: bool,
}

pub const CONV2D: Entry = Entry {
    name: "bro_conv2d",
    arguments: CONVOLUTION,
    options: &[
        Argument { name: "stride", takes: Takes::AtLeast(1) },
        Argument { name: "padding", takes: Takes::AtLeast(0) },
        Argument { name: "rank", takes: Takes::AtLeast(0) },
        Argument { name: "bias", takes: Takes::Flag },
    ],
    make: |given| {
        let kernel = given.count("kernel", 1);
        LayerSpec::of(BroConv2d {
            channels: given.count("channels", 1),
            kernel,
            stride: given.count("stride", 1),
            padding: given.count("padding", kernel / 2),
            rank: given.count("rank", 0),
            bias: given.flag("bias", true),
        })
    },
    read: read::<BroConv2d>,
};

pub const LINEAR: Entry = Entry {
    name: "bro_linear",
    arguments: DENSE,
    options: &[Argument { name: "rank", takes: Takes::AtLeast(0) }, Argument { name: "bias", takes: Takes::Flag }],
    make: |given| {
        LayerSpec::of(Made(BroLinear {
            features: given.count("features", 1),
            rank: given.count("rank", 0),
            bias: given.flag("bias", true),
        }))
    },
    read: read_made::<BroLinear>,
};

/// The rank that is meant, of at most `c`.
fn rank(wanted: usize, c: usize) -> std::result::Result<usize, String> {
    match wanted {
        0 => Ok((c / 2).max(1)),
        r if r <= c => Ok(r),
        r => Err(format!("a rank of {r} is more than its {c} channels (or features)")),
    }
}

/// Of the image that the kernel goes around in: its side, channels before, channels of the reflector, its rank.
struct Sizes {
    side: usize,
    inputs: usize,
    all: usize,
    rank: usize,
}

impl BroConv2d {
    fn sizes(&self, input: &[usize]) -> std::result::Result<Sizes, String> {
        let ([c, h, w], s) = (image(input)?, self.stride);
        if h != w || h == 0 || !h.is_multiple_of(s) {
            return Err(format!(
                "it goes around square images whose side its stride {s} divides, its input is {h}x{w}"
            ));
        }
        if self.kernel == 0 || self.padding > self.kernel {
            return Err(format!(
                "a {0}x{0} kernel and a padding of {1}; a kernel of at least 1 is wanted, and no more padding than that",
                self.kernel, self.padding
            ));
        }
        let side = h / s + 2 * self.padding;
        let inputs = s.checked_mul(s).and_then(|square| c.checked_mul(square));
        let inputs = inputs.ok_or_else(|| format!("a stride of {s} makes more channels of {c} than can be counted"))?;
        let all = inputs.max(self.channels);
        if self.kernel > side {
            return Err(format!("a {0}x{0} kernel does not fit into the padded {side}x{side} image", self.kernel));
        }
        Ok(Sizes { side, inputs, all, rank: rank(self.rank, all)? })
    }

    /// At its place.
    fn map(&self, place: &Place) -> Result<Circular> {
        let sizes = self.sizes(place.input).map_err(candle_core::Error::Msg)?;
        let q = reflected_by_frequency(&place.parameter("weight")?, sizes.side)?;
        let around = (self.stride, self.padding);
        Ok(Circular::over(place.input, self.channels, around, q, place.optional("bias")))
    }
}

impl Kind for BroConv2d {
    fn name(&self) -> &str {
        CONV2D.name
    }

    fn describe(&self) -> String {
        let Self { channels, kernel, stride, padding, rank, bias } = self;
        let bias = without_bias(*bias);
        format!("bro_conv2d({channels}, {kernel}, #{{ stride: {stride}, padding: {padding}, rank: {rank}{bias} }})")
    }

    fn own(&self) -> Vec<Own> {
        made(CONV2D.name)
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let n = self.sizes(input)?.side - 2 * self.padding;
        if self.channels > 0 { Ok(vec![self.channels, n, n]) } else { Err("it has no output channels".into()) }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let k = self.kernel;
        let (all, rank, inputs) = self.sizes(input).map_or((1, 1, 1), |s| (s.all, s.rank, s.inputs));
        let start = torch_start(inputs * k * k);
        weight_and_bias(&[all, rank, k, k], self.bias.then_some(self.channels), &start)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Affine(Rc::new(self.map(place)?)))
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        self.map(place)?.drawn(place, graph, x)
    }
}

impl Making for BroLinear {
    fn entry(&self) -> &'static Entry {
        &LINEAR
    }

    fn describe(&self) -> String {
        format!("bro_linear({}, #{{ rank: {}{} }})", self.features, self.rank, without_bias(self.bias))
    }

    fn plain(&self, input: &[usize]) -> std::result::Result<LayerSpec, String> {
        rank(self.rank, vector(input)?.max(self.features))?;
        Ok(LayerSpec::of(Linear { features: self.features, bias: self.bias }))
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let inputs = vector(input).unwrap_or(1);
        let all = inputs.max(self.features);
        let rank = rank(self.rank, all).unwrap_or(1);
        weight_and_bias(&[all, rank], self.bias.then_some(self.features), &torch_start(inputs))
    }

    fn weight(&self, place: &Place) -> Result<Tensor> {
        let whole = reflected(&place.parameter("weight")?)?;
        whole.narrow(0, 0, self.features)?.narrow(1, 0, place.input[0])?.contiguous()
    }
}
