//! `sll_conv2d(inner, kernel)`, `sll_linear(inner)`: SDP-based Lipschitz layers (Araujo et al. 2023)
//!
//! ```text
//! y = x - 2 W^T T relu(W x + b)      1 / T_i = sum_j,t |(W W^T)_ij(t)| e^(q_j - q_i)      1-Lipschitz whatever W, b and q are
//! ```
//!
//! `inner` channels (or features) between; the shape stays. q enters by j: published code for convolutions has it by i twice, where it does
//! nothing. It is nonlinear by itself, and needs no activation beside. Start: W and b U(-1/sqrt(fan_in), 1/sqrt(fan_in)), q 0.

use super::entry::{Argument, Entry, Takes, image, read, settings};
use super::graph::Graph;
use super::made::{made, torch_start, vector, weight_and_bias};
use super::potential::Potential;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use crate::compute::orthogonal::absolute_gram;
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SllConv2d {
    pub inner: usize,
    pub kernel: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SllLinear {
    pub inner: usize,
}

pub const CONV2D: Entry = Entry {
    name: "sll_conv2d",
    arguments: &[
        Argument { name: "inner", takes: Takes::Positive("the number of inner channels") },
        Argument { name: "kernel", takes: Takes::Positive("the kernel size") },
    ],
    options: &[],
    make: |given| LayerSpec::of(SllConv2d { inner: given.count("inner", 1), kernel: given.count("kernel", 1) }),
    read: read::<SllConv2d>,
};

pub const LINEAR: Entry = Entry {
    name: "sll_linear",
    arguments: &[Argument { name: "inner", takes: Takes::Positive("the number of inner features") }],
    options: &[],
    make: |given| LayerSpec::of(SllLinear { inner: given.count("inner", 1) }),
    read: read::<SllLinear>,
};

/// How far above 1 the constant can be by the roundings of T: a sum of so many terms, each a sum itself, an exponential, a quotient. T is off
/// by a relative gamma of all of these, and `I - 2 W^T T D W` by twice that.
fn rounded(weight: &Tensor) -> f64 {
    let (sizes, taps) = (weight.dims(), weight.dims()[2..].iter().product::<usize>());
    let steps = (sizes[0] * (2 * taps + 1) * (2 * taps + 1) + sizes[1] * taps + 64) as f64;
    let unit = if weight.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    1.0 + 4.0 * steps * unit
}

fn built(place: &Place) -> Result<Potential> {
    let (weight, q) = (place.parameter("weight")?, place.parameter("q")?);
    let inner = q.elem_count();
    let sums = absolute_gram(&weight)?.matmul(&q.exp()?.reshape((inner, 1))?)?.reshape(inner)?;
    // Of a row of zeros the sum is 0, and nothing is taken away.
    let scale = (q.exp()? / sums.maximum(f64::from(f32::MIN_POSITIVE))?)?;
    let mut shape = vec![1; weight.rank()];
    shape[1] = inner;
    let (scale, bias, lipschitz) = (scale.reshape(shape)?, place.optional("bias"), rounded(&weight));
    Ok(Potential { weight, bias, scale, lipschitz, is_promised: false })
}

fn with_q(weight: &[usize], fan_in: usize) -> Vec<Parameter> {
    let mut list = weight_and_bias(weight, Some(weight[0]), &torch_start(fan_in));
    list.push(Parameter::new("q", &[weight[0]], Start::Constant(0.0)));
    list
}

impl Kind for SllConv2d {
    fn name(&self) -> &str {
        CONV2D.name
    }

    fn describe(&self) -> String {
        format!("sll_conv2d({}, {})", self.inner, self.kernel)
    }

    fn own(&self) -> Vec<Own> {
        made(CONV2D.name)
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        image(input)?;
        if self.inner == 0 {
            return Err("it has no inner channels".into());
        }
        match self.kernel.is_multiple_of(2) {
            true => Err(format!("a {0}x{0} kernel has no pixel in its middle; take an odd one", self.kernel)),
            false => Ok(input.to_vec()),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (k, c) = (self.kernel, input[0]);
        with_q(&[self.inner, c, k, k], c * k * k)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(built(place)?)))
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        built(place)?.drawn(place, graph, x)
    }
}

impl Kind for SllLinear {
    fn name(&self) -> &str {
        LINEAR.name
    }

    fn describe(&self) -> String {
        format!("sll_linear({})", self.inner)
    }

    fn own(&self) -> Vec<Own> {
        made(LINEAR.name)
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let features = vector(input)?;
        if self.inner > 0 { Ok(vec![features]) } else { Err("it has no inner features".into()) }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let features = vector(input).unwrap_or(1);
        with_q(&[self.inner, features], features)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(built(place)?)))
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        built(place)?.drawn(place, graph, x)
    }
}
