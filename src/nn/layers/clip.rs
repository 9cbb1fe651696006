//! `relu_theta(theta)` and `relu6()`: clipped to [0, theta], a threshold for each neuron, learned in ReLU-theta (Eq. 8 of Huang et al.
//! 2021).

use super::activation::{Activation, Boxes, Choice, Clipping, Excess, Facts, Fused, Lines, Relaxation, Side, not};
use super::entry::{Argument, Entry, Takes, any_shape, none_left, read, settings, without_settings};
use super::graph::Graph;
use super::lines::clipped;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use crate::compute::elementwise::clip::{between, clip};
use crate::compute::gpu;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReluTheta {
    pub theta: f64,
}

#[derive(Clone, Debug)]
pub struct Relu6;

pub const RELU_THETA: Entry = Entry {
    name: "relu_theta",
    arguments: &[Argument { name: "theta", takes: Takes::Number }],
    options: &[],
    make: |given| LayerSpec::of(ReluTheta { theta: given.number("theta", 1.0) }),
    read: read::<ReluTheta>,
};

pub const RELU6: Entry = Entry {
    name: "relu6",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(Relu6),
    read: |settings| none_left(&settings, Relu6),
};

impl Kind for ReluTheta {
    fn name(&self) -> &str {
        RELU_THETA.name
    }

    fn describe(&self) -> String {
        format!("relu_theta({:?})", self.theta)
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        match self.theta {
            theta if theta >= 0.0 && theta.is_finite() => Ok(input.to_vec()),
            theta => Err(format!("theta is {theta}, it must be finite and at least 0")),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let threshold = Parameter::new("threshold", &[&[1], input].concat(), Start::Constant(self.theta));
        vec![Parameter { at_least_zero: true, ..threshold }]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let above = graph.apply("Relu", &[&x], &[]);
        // One below 0 is one of 0 here, as the layer has it.
        let threshold = graph.numbers("threshold", &place.parameter("threshold")?.relu()?);
        Ok(graph.apply("Min", &[&above, &threshold], &[]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(Clip { threshold: place.parameter("threshold")? })))
    }
}

without_settings!(
    Relu6,
    RELU6,
    any_shape,
    |place| {
        let threshold = Tensor::full(6f64, [&[1], place.input].concat(), place.device)?;
        Ok(Role::Activation(Rc::new(Clip { threshold: threshold.to_dtype(place.dtype)? })))
    },
    |place, graph, x| {
        let (low, high) = (graph.number("low", 0.0, place.dtype)?, graph.number("high", 6.0, place.dtype)?);
        Ok(graph.apply("Clip", &[&x, &low, &high], &[]))
    }
);

/// `max(min(x, threshold), 0)`, `threshold` `[1, ...]`, at least 0.
#[derive(Clone, Debug)]
struct Clip {
    threshold: Tensor,
}

impl Activation for Clip {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        clip(x, &self.threshold)
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        Ok(each.clone())
    }

    fn lines(&self) -> Option<&dyn Lines> {
        Some(self)
    }

    fn facts(&self) -> Facts {
        Facts {
            lipschitz: 1.0,
            roundings: Some(0),
            thresholds: vec![self.threshold.clone()],
            cancels: false,
            fused: Some(Fused::Clip { threshold: Some(self.threshold.clone()) }),
        }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        Some(self)
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(Self { threshold: self.threshold.detach() })
    }
}

impl Clipping for Clip {
    fn side(&self) -> Side {
        Side::Before
    }

    fn varying(&self, lower: &Tensor, upper: &Tensor) -> Result<Tensor> {
        if upper.device().is_cpu() || gpu::has_kernel(upper) {
            return between(lower, upper, &self.threshold);
        }
        let open = not(&upper.le(0.0)?)?;
        open * not(&lower.broadcast_ge(&self.threshold)?)?
    }

    fn unclipped(&self, lower: &Tensor, upper: &Tensor) -> Option<Result<Tensor>> {
        let inside = || lower.gt(0.0)? * upper.broadcast_lt(&self.threshold)?;
        Some(inside())
    }

    fn excess(&self, lower: &Tensor, upper: &Tensor) -> Result<Excess> {
        let above = self.threshold.broadcast_sub(lower)?.relu()?;
        Ok(Excess { below: upper.relu()?, above: Some(above) })
    }
}

impl Lines for Clip {
    fn over(&self, lower: &Tensor, upper: &Tensor, choice: &Choice) -> Result<Relaxation> {
        // One below 0 is one of 0, as the function has it.
        clipped(lower, upper, &self.threshold.relu()?, choice)
    }
}
