//! `leaky_relu(slope)`: x where it is above 0, `slope x` below. Constant nowhere, so it masks nothing.

use super::activation::{Activation, Boxes, Choice, Clipping, Facts, Lines, Relaxation};
use super::entry::{Argument, Entry, Takes, read, settings};
use super::graph::{Attribute, Graph};
use super::lines::bent;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use crate::compute::elementwise::clip::{larger, smaller};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakyRelu {
    pub slope: f64,
}

pub const ENTRY: Entry = Entry {
    name: "leaky_relu",
    arguments: &[Argument { name: "slope", takes: Takes::Number }],
    options: &[],
    make: |given| LayerSpec::of(LeakyRelu { slope: given.number("slope", 0.01) }),
    read: read::<LeakyRelu>,
};

impl Kind for LeakyRelu {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        format!("leaky_relu({:?})", self.slope)
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        match self.slope {
            slope if slope >= 0.0 && slope.is_finite() => Ok(input.to_vec()),
            slope => Err(format!("its slope is {slope}, it must be finite and at least 0")),
        }
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        vec![]
    }

    fn export(&self, _: &Place, graph: &mut Graph, x: String) -> Result<String> {
        Ok(graph.apply("LeakyRelu", &[&x], &[("alpha", Attribute::Float(self.slope as f32))]))
    }

    fn build(&self, _: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(*self)))
    }
}

impl Activation for LeakyRelu {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let below = (x * self.slope)?;
        if self.slope <= 1.0 { larger(x, &below) } else { smaller(x, &below) }
    }

    fn lines(&self) -> Option<&dyn Lines> {
        Some(self)
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        each * self.slope.max(1.0)
    }

    /// The product, and a slope that its number type does not hold.
    fn facts(&self) -> Facts {
        Facts { lipschitz: self.slope.max(1.0), roundings: Some(2), thresholds: vec![], cancels: false, fused: None }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }
}

impl Lines for LeakyRelu {
    fn over(&self, lower: &Tensor, upper: &Tensor, choice: &Choice) -> Result<Relaxation> {
        bent(lower, upper, self.slope, 1.0, choice)
    }
}
