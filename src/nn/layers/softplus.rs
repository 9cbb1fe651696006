//! `softplus(beta)`: log(1 + exp(beta x)) / beta, a smooth ReLU. Monotone, its slopes between 0 and 1; constant nowhere.

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::entry::{Argument, Entry, Takes, read, settings};
use super::graph::Graph;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use crate::compute::elementwise::smooth::pointwise;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

/// Of beta x, which exp makes up to 746 times as large, and a few more.
const ROUNDINGS: usize = 2048;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softplus {
    pub beta: f64,
}

pub const ENTRY: Entry = Entry {
    name: "softplus",
    arguments: &[Argument { name: "beta", takes: Takes::Number }],
    options: &[],
    make: |given| LayerSpec::of(Softplus { beta: given.number("beta", 1.0) }),
    read: read::<Softplus>,
};

impl Kind for Softplus {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn describe(&self) -> String {
        format!("softplus({:?})", self.beta)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        match self.beta {
            beta if (1e-3..=1e3).contains(&beta) => Ok(input.to_vec()),
            beta => Err(format!("its beta is {beta}, it must lie between 0.001 and 1000")),
        }
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let beta = graph.number("beta", self.beta, place.dtype)?;
        let scaled = graph.apply("Mul", &[&x, &beta], &[]);
        let soft = graph.apply("Softplus", &[&scaled], &[]);
        Ok(graph.apply("Div", &[&soft, &beta], &[]))
    }

    fn build(&self, _: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(*self)))
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        vec![]
    }
}

impl Activation for Softplus {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let beta = self.beta;
        if !x.device().is_cpu() {
            let rest = ((x.abs()? * -beta)?.exp()? + 1.0)?.log()?;
            return x.relu()? + (rest / beta)? + (x * 0.0)?;
        }
        // A NaN comes out of the second term, whatever the maximum makes of it.
        let value = move |x: f64| x.max(0.0) + libm::log1p(libm::exp(-beta * x.abs())) / beta;
        pointwise("softplus", x, value, move |x| 1.0 / (1.0 + libm::exp(-beta * x)))
    }

    fn lines(&self) -> Option<&dyn Lines> {
        None
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        Ok(each.clone())
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    fn facts(&self) -> Facts {
        Facts { lipschitz: 1.0, roundings: Some(ROUNDINGS), thresholds: vec![], cancels: false, fused: None }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }
}
