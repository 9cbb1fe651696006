//! `avg_pool2d(kernel, #{ stride })`: the mean over squares of each channel, a convolution of every channel by itself.

use super::affine::{Affine, Dense, Rounding, Structure, peak};
use super::entry::{Argument, Entry, Takes, pooled, read, settings};
use super::graph::{Attribute, Graph};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use crate::compute::conv::{Window, conv2d, conv2d_input};
use crate::compute::precision::Precision;
use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    pub kernel: usize,
    pub stride: usize,
}

pub const ENTRY: Entry = Entry {
    name: "avg_pool2d",
    arguments: &[Argument { name: "kernel", takes: Takes::Positive("the kernel size") }],
    options: &[Argument { name: "stride", takes: Takes::AtLeast(1) }],
    make: |given| {
        let kernel = given.count("kernel", 1);
        LayerSpec::of(AvgPool2d { kernel, stride: given.count("stride", kernel) })
    },
    read: read::<AvgPool2d>,
};

impl Kind for AvgPool2d {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        format!("avg_pool2d({}, #{{ stride: {} }})", self.kernel, self.stride)
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        pooled(input, self.kernel, self.stride)
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        vec![]
    }

    fn export(&self, _: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let attributes =
            [("kernel_shape", Attribute::ints(&[self.kernel; 2])), ("strides", Attribute::ints(&[self.stride; 2]))];
        Ok(graph.apply("AveragePool", &[&x], &attributes))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        let Self { kernel, stride } = *self;
        let weight = Tensor::full(1.0 / (kernel * kernel) as f64, (1, 1, kernel, kernel), place.device)?;
        Ok(Role::Affine(Rc::new(Pool {
            weight: weight.to_dtype(place.dtype)?,
            window: Window::new(stride, 0),
            input: (place.input[1], place.input[2]),
            output: (place.output[0], place.output[1], place.output[2]),
        })))
    }
}

#[derive(Clone, Debug)]
struct Pool {
    /// `[1, 1, k, k]`, all 1/k^2.
    weight: Tensor,
    window: Window,
    input: (usize, usize),
    output: (usize, usize, usize),
}

/// Apply a one-channel map to every channel by itself.
fn each_channel(x: &Tensor, (h, w): (usize, usize), map: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    map(&x.reshape((batch * channels, 1, height, width))?)?.reshape((batch, channels, h, w))
}

impl Affine for Pool {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.apply(x, precision)
    }

    fn apply(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        let window = self.window.computed_in(precision);
        each_channel(x, (self.output.1, self.output.2), |x| conv2d(x, &self.weight, window))
    }

    fn adjoint(&self, y: &Tensor, precision: Precision) -> Result<Tensor> {
        let window = self.window.computed_in(precision);
        each_channel(y, self.input, |y| conv2d_input(y, &self.weight, window, self.input))
    }

    /// The weights are above 0.
    fn apply_absolute(&self, h: &Tensor, precision: Precision) -> Result<Tensor> {
        self.apply(h, precision)
    }

    fn row_norms(&self) -> Result<Tensor> {
        self.weight.sqr()?.sum_all()?.sqrt()?.reshape((1, 1))?.repeat((1, self.output.0))
    }

    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        Ok(y.clone())
    }

    fn weight(&self) -> Option<&Tensor> {
        None
    }

    fn is_trained(&self) -> bool {
        false
    }

    fn terms(&self) -> usize {
        self.weight.elem_count()
    }

    /// Rounding of 1/k^2, the sum, and a division by k^2 or a product with 1/k^2 in one step or along both sides; the sum may come
    /// before the division.
    fn rounding(&self) -> Result<Rounding> {
        Ok(Rounding { steps: self.terms() + 3, largest: peak(&self.weight)?, stretch: self.terms() as f64 })
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn dense(&self) -> Option<Dense> {
        Some(Dense::EachChannel { weight: self.weight.clone(), window: self.window })
    }

    fn structure(&self) -> Result<Option<Structure>> {
        Ok(None)
    }

    fn numbers(&self) -> (DType, Device) {
        (self.weight.dtype(), self.weight.device().clone())
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        Rc::new(self.clone())
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}
