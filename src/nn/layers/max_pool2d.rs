//! `max_pool2d(kernel, #{ stride })`: the largest value of squares of each channel
//!
//! ```text
//! ||f(x) - f(y)||^2 <= sum over windows of max |d_i|^2 <= sum_i n_i d_i^2      d = x - y, n_i the windows that hold pixel i
//! L = max_i sqrt(n_i) <= ceil(kernel / stride)                                  1 without overlap
//! ```

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::entry::{Argument, Entry, Takes, pooled, read, settings};
use super::graph::{Attribute, Graph};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use crate::compute::elementwise::clip::larger;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    pub kernel: usize,
    pub stride: usize,
}

pub const ENTRY: Entry = Entry {
    name: "max_pool2d",
    arguments: &[Argument { name: "kernel", takes: Takes::Positive("the kernel size") }],
    options: &[Argument { name: "stride", takes: Takes::AtLeast(1) }],
    make: |given| {
        let kernel = given.count("kernel", 1);
        LayerSpec::of(MaxPool2d { kernel, stride: given.count("stride", kernel) })
    },
    read: read::<MaxPool2d>,
};

impl Kind for MaxPool2d {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        vec![]
    }

    fn describe(&self) -> String {
        format!("max_pool2d({}, #{{ stride: {} }})", self.kernel, self.stride)
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        pooled(input, self.kernel, self.stride)
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn export(&self, _: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let attributes =
            [("kernel_shape", Attribute::ints(&[self.kernel; 2])), ("strides", Attribute::ints(&[self.stride; 2]))];
        Ok(graph.apply("MaxPool", &[&x], &attributes))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(Pool { spec: *self, size: [place.output[1], place.output[2]] })))
    }
}

#[derive(Clone, Copy, Debug)]
struct Pool {
    spec: MaxPool2d,
    /// Height and width of the output.
    size: [usize; 2],
}

impl Activation for Pool {
    /// Along one axis and then the other; the larger of two numbers keeps a NaN.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let MaxPool2d { kernel, stride } = self.spec;
        let mut x = x.contiguous()?;
        for (axis, count) in [(2, self.size[0]), (3, self.size[1])] {
            let at = |offset: usize| -> Result<Tensor> {
                let places: Vec<u32> = (0..count).map(|i| (i * stride + offset) as u32).collect();
                x.index_select(&Tensor::new(places, x.device())?, axis)?.contiguous()
            };
            let mut most = at(0)?;
            for offset in 1..kernel {
                most = larger(&most, &at(offset)?)?;
            }
            x = most;
        }
        Ok(x)
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    /// A maximum moves by at most the most that any number of its window does.
    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        self.forward(each)
    }

    fn facts(&self) -> Facts {
        Facts {
            lipschitz: self.spec.kernel.div_ceil(self.spec.stride) as f64,
            roundings: Some(0),
            thresholds: vec![],
            cancels: false,
            fused: None,
        }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn lines(&self) -> Option<&dyn Lines> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }
}
