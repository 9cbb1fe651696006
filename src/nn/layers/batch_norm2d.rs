//! `batch_norm2d(#{ eps, momentum })`: each channel of images less its mean, over its standard deviation, times a learned `weight`, plus a
//! learned `bias` (Ioffe & Szegedy 2015)
//!
//! ```text
//! frozen      (x - running_mean) / sqrt(running_var + eps) weight + bias: a scale and a shift, one affine map for all
//! training    the mean and variance of the batch of centers, and running' = (1 - momentum) running + momentum of the batch
//! ```
//!
//! What is bounded in training is the map of the batch's statistics, as they are for its clean images: it says nothing of another batch.
//! Evaluations, attacks and certificates take a frozen network.

use super::batch_statistics::{InTraining, Statistics, by_channel, enter};
use super::entry::{Argument, Entry, Takes, image, read, settings};
use super::graph::{Attribute, Graph};
use super::normalize::Scaling;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start, Word};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm2d {
    pub eps: f64,
    pub momentum: f64,
}

pub const ENTRY: Entry = Entry {
    name: "batch_norm2d",
    arguments: &[],
    options: &[Argument { name: "eps", takes: Takes::Number }, Argument { name: "momentum", takes: Takes::Number }],
    make: |given| {
        LayerSpec::of(BatchNorm2d { eps: given.number("eps", 1e-5), momentum: given.number("momentum", 0.1) })
    },
    read: read::<BatchNorm2d>,
};

impl Kind for BatchNorm2d {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        format!("batch_norm2d(#{{ eps: {:?}, momentum: {:?} }})", self.eps, self.momentum)
    }

    fn own(&self) -> Vec<Own> {
        vec![Own { name: ENTRY.name.into(), identity: String::new(), word: Word::Statistics }]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let Self { eps, momentum } = *self;
        if !(eps > 0.0 && eps.is_finite() && (0.0..=1.0).contains(&momentum)) {
            return Err(format!("eps is {eps} and momentum {momentum}; eps is above 0, momentum from 0 to 1"));
        }
        image(input).map(|shape| shape.to_vec())
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let start = |name, value| Parameter::new(name, &input[..1], Start::Constant(value));
        let kept = |name, value| Parameter { is_trained: false, ..start(name, value) };
        let variance = Parameter { at_least_zero: true, ..kept("running_var", 1.0) };
        vec![start("weight", 1.0), start("bias", 0.0), kept("running_mean", 0.0), variance]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let mut inputs = vec![x];
        for name in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(graph.numbers(name, &place.parameter(name)?));
        }
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        Ok(graph.apply("BatchNormalization", &inputs, &[("epsilon", Attribute::Float(self.eps as f32))]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Affine(Rc::new(InTraining(Normalised {
            weight: place.parameter("weight")?,
            bias: place.parameter("bias")?,
            mean: place.parameter("running_mean")?,
            variance: place.parameter("running_var")?,
            settings: *self,
        }))))
    }
}

/// What it is made of.
#[derive(Clone, Debug)]
struct Normalised {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    settings: BatchNorm2d,
}

impl Normalised {
    /// With this mean and variance, `[C]`.
    fn by(&self, mean: &Tensor, variance: &Tensor) -> Result<Scaling> {
        let scale = (&self.weight / (variance + self.settings.eps)?.sqrt()?)?;
        let shift = (&self.bias - (mean * &scale)?)?;
        Ok(Scaling { scale: scale.reshape((1, (), 1, 1))?, shift: shift.reshape((1, (), 1, 1))? })
    }
}

impl Statistics for Normalised {
    const NAME: &'static str = ENTRY.name;

    fn of_batch(&self, x: &Tensor) -> Result<Scaling> {
        let (flat, n) = by_channel(Self::NAME, x, "variance")?;
        let mean = flat.mean(1)?;
        let variance = flat.broadcast_sub(&mean.unsqueeze(1)?)?.sqr()?.mean(1)?;
        let momentum = self.settings.momentum;
        enter(&self.mean, &mean, momentum, 1.0)?;
        enter(&self.variance, &variance, momentum, n as f64 / (n - 1) as f64)?;
        self.by(&mean, &variance)
    }

    fn running(&self) -> Result<Scaling> {
        self.by(&self.mean.detach(), &self.variance.detach())
    }

    fn scale_is_trained(&self) -> bool {
        self.weight.track_op()
    }

    fn a_parameter(&self) -> &Tensor {
        &self.weight
    }
}
