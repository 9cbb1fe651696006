//! `conv2d(channels, kernel, #{ stride, padding, bias })`: a square kernel over `[C, H, W]`, padded with zeros.
//!
//! Start, as published with the method: weight ~ N(0, sqrt(2 / (k k channels))), bias 0.

use super::affine::{Affine, Dense, Rounding, Structure, peak};
use super::entry::{Argument, CONVOLUTION, Entry, Takes, image, read, settings};
use super::graph::{Attribute, Graph};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use crate::compute::conv::{Window, conv2d, conv2d_bias, conv2d_input};
use crate::compute::norms::channels::add_bias;
use crate::compute::norms::rows::row_norms;
use crate::compute::precision::Precision;
use crate::compute::region::weights::Prepared;
use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub bias: bool,
}

pub const ENTRY: Entry = Entry {
    name: "conv2d",
    arguments: CONVOLUTION,
    options: &[
        Argument { name: "stride", takes: Takes::AtLeast(1) },
        Argument { name: "padding", takes: Takes::AtLeast(0) },
        Argument { name: "bias", takes: Takes::Flag },
        Argument { name: "weight", takes: Takes::Weight },
    ],
    make: |given| {
        given.weighted(LayerSpec::of(Conv2d {
            channels: given.count("channels", 1),
            kernel: given.count("kernel", 1),
            stride: given.count("stride", 1),
            padding: given.count("padding", 0),
            bias: given.flag("bias", true),
        }))
    },
    read: read::<Conv2d>,
};

impl Kind for Conv2d {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        let Self { channels, kernel, stride, padding, bias } = self;
        let bias = if *bias { "" } else { ", bias: false" };
        format!("conv2d({channels}, {kernel}, #{{ stride: {stride}, padding: {padding}{bias} }})")
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let Self { channels, kernel, stride, padding, .. } = self;
        let [_, h, w] = image(input)?;
        let window = Window::new(*stride, *padding);
        match (window.output(h, *kernel), window.output(w, *kernel)) {
            (Some(h), Some(w)) if *channels > 0 => Ok(vec![*channels, h, w]),
            (Some(_), Some(_)) => Err("it has no output channels".into()),
            _ => Err(format!(
                "a {kernel}x{kernel} kernel with stride {stride} and padding {padding} does not fit its {h}x{w} input"
            )),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let Self { channels, kernel, bias, .. } = *self;
        let std = (2.0 / (kernel as f64 * kernel as f64 * channels as f64)).sqrt();
        let mut list = vec![Parameter::new("weight", &[channels, input[0], kernel, kernel], Start::Normal { std })];
        if bias {
            list.push(Parameter::new("bias", &[channels], Start::Constant(0.0)));
        }
        list
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let mut inputs = vec![x, graph.numbers("weight", &place.parameter("weight")?)];
        inputs.extend(place.optional("bias").map(|bias| graph.numbers("bias", &bias)));
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let attributes = [
            ("kernel_shape", Attribute::ints(&[self.kernel; 2])),
            ("strides", Attribute::ints(&[self.stride; 2])),
            ("pads", Attribute::ints(&[self.padding; 4])),
        ];
        Ok(graph.apply("Conv", &inputs, &attributes))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Affine(Rc::new(Convolution {
            weight: place.parameter("weight")?,
            bias: place.optional("bias"),
            window: Window::new(self.stride, self.padding),
            size: (place.input[1], place.input[2]),
            prepared: Prepared::default(),
        })))
    }
}

/// The layer over images of one size.
#[derive(Clone, Debug)]
struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    window: Window,
    /// Height and width of the input.
    size: (usize, usize),
    prepared: Prepared,
}

impl Affine for Convolution {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => conv2d_bias(x, &self.weight, bias, self.window.computed_in(precision)),
            None => self.apply(x, precision),
        }
    }

    fn apply(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        conv2d(x, &self.weight, self.window.computed_in(precision))
    }

    fn adjoint(&self, y: &Tensor, precision: Precision) -> Result<Tensor> {
        conv2d_input(y, &self.weight, self.window.computed_in(precision), self.size)
    }

    fn apply_absolute(&self, h: &Tensor, precision: Precision) -> Result<Tensor> {
        conv2d(h, &self.weight.abs()?, self.window.computed_in(precision))
    }

    /// The norm of the channel's kernel, more than the row's where the padding cuts it.
    fn row_norms(&self) -> Result<Tensor> {
        row_norms(&self.weight.flatten_from(1)?)?.unsqueeze(0)
    }

    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        self.bias.as_ref().map_or(Ok(y.clone()), |bias| add_bias(y, bias))
    }

    fn weight(&self) -> Option<&Tensor> {
        Some(&self.weight)
    }

    fn is_trained(&self) -> bool {
        self.weight.track_op()
    }

    fn terms(&self) -> usize {
        self.weight.dims()[1..].iter().product()
    }

    fn rounding(&self) -> Result<Rounding> {
        Ok(Rounding { steps: self.terms() + 2, largest: peak(&self.weight)?, stretch: 1.0 })
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn dense(&self) -> Option<Dense> {
        Some(Dense::Convolution {
            weight: self.weight.clone(),
            bias: self.bias.clone(),
            window: self.window,
            prepared: self.prepared.clone(),
        })
    }

    fn structure(&self) -> Result<Option<Structure>> {
        Ok(None)
    }

    fn numbers(&self) -> (DType, Device) {
        (self.weight.dtype(), self.weight.device().clone())
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        let bias = self.bias.as_ref().map(Tensor::detach);
        Rc::new(Self { weight: self.weight.detach(), bias, prepared: Prepared::default(), ..*self })
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}
