//! `batch_centering(#{ momentum })`: each channel (or feature) less its mean, plus a learned `bias`; norm 1, for networks whose layers keep it
//! (LiResNet: Hu et al. 2023)
//!
//! ```text
//! frozen      x - running_mean + bias: a shift, which moves center and box and leaves radius and widths
//! training    the mean of the batch of centers, and running' = (1 - momentum) running + momentum of the batch
//! ```
//!
//! What is bounded in training is the map of the batch's mean, as in [`super::BatchNorm2d`].

use super::batch_statistics::{InTraining, Statistics, by_channel, enter};
use super::entry::{Argument, Entry, Takes, read, settings};
use super::graph::Graph;
use super::normalize::Scaling;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start, Word};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchCentering {
    pub momentum: f64,
}

pub const ENTRY: Entry = Entry {
    name: "batch_centering",
    arguments: &[],
    options: &[Argument { name: "momentum", takes: Takes::Number }],
    make: |given| LayerSpec::of(BatchCentering { momentum: given.number("momentum", 0.1) }),
    read: read::<BatchCentering>,
};

/// The shape of a number for each channel, to be broadcast over a batch.
fn spread(input: &[usize]) -> Vec<usize> {
    let mut shape = vec![1; input.len() + 1];
    shape[1] = input[0];
    shape
}

impl Kind for BatchCentering {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        format!("batch_centering(#{{ momentum: {:?} }})", self.momentum)
    }

    fn own(&self) -> Vec<Own> {
        vec![Own { name: ENTRY.name.into(), identity: String::new(), word: Word::Statistics }]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        match (0.0..=1.0).contains(&self.momentum) {
            true => Ok(input.to_vec()),
            false => Err(format!("momentum is {}; it goes from 0 to 1", self.momentum)),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let start = |name| Parameter::new(name, &input[..1], Start::Constant(0.0));
        vec![start("bias"), Parameter { is_trained: false, ..start("running_mean") }]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let shape = spread(place.input);
        let mean = graph.numbers("running_mean", &place.parameter("running_mean")?.reshape(shape.as_slice())?);
        let bias = graph.numbers("bias", &place.parameter("bias")?.reshape(shape)?);
        let centred = graph.apply("Sub", &[&x, &mean], &[]);
        Ok(graph.apply("Add", &[&centred, &bias], &[]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Affine(Rc::new(InTraining(Centred {
            bias: place.parameter("bias")?,
            mean: place.parameter("running_mean")?,
            momentum: self.momentum,
            shape: spread(place.input),
        }))))
    }
}

/// What it is made of.
#[derive(Clone, Debug)]
struct Centred {
    bias: Tensor,
    mean: Tensor,
    momentum: f64,
    shape: Vec<usize>,
}

impl Centred {
    /// Around this mean, `[C]`.
    fn around(&self, bias: &Tensor, mean: &Tensor) -> Result<Scaling> {
        let shift = (bias - mean)?.reshape(self.shape.as_slice())?;
        Ok(Scaling { scale: shift.detach().ones_like()?, shift })
    }
}

impl Statistics for Centred {
    const NAME: &'static str = ENTRY.name;

    fn of_batch(&self, x: &Tensor) -> Result<Scaling> {
        let (flat, _) = by_channel(Self::NAME, x, "mean but itself")?;
        let mean = flat.mean(1)?;
        enter(&self.mean, &mean, self.momentum, 1.0)?;
        self.around(&self.bias, &mean)
    }

    fn running(&self) -> Result<Scaling> {
        self.around(&self.bias.detach(), &self.mean.detach())
    }

    fn scale_is_trained(&self) -> bool {
        false
    }

    fn a_parameter(&self) -> &Tensor {
        &self.bias
    }
}
