//! `sll_conv2d(inner, kernel)`, `sll_linear(inner)`: SDP-based Lipschitz layers (Araujo et al. 2023)
//!
//! ```text
//! y = x - 2 W^T T relu(W x + b)      1 / T_i = sum_j,t |(W W^T)_ij(t)| e^(q_j - q_i)      1-Lipschitz whatever W, b and q are
//! ```
//!
//! `inner` channels (or features) between; the shape stays. q enters by j: published code for convolutions has it by i twice, where it does
//! nothing. It is nonlinear by itself, and needs no activation beside. Start: W and b U(-1/sqrt(fan_in), 1/sqrt(fan_in)), q 0.

use super::affine::peak;
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

/// How large the constant can be by the roundings of T. A sum that 1 / T_i is made of is off by at most gamma of the same sum of sizes,
/// `sizes_i = sum_j,t (|W| |W|^T)_ij(t) e^q_j`; with x the largest `gamma sizes_i / sums_i`, T is at most 1 + 2 x times too large, and
/// `I - 2 W^T T D W` has a norm of at most 1 + 4 x.
fn rounded(weight: &Tensor, weights: &Tensor, sums: &Tensor) -> Result<f64> {
    let (own, dims) = (weight.detach(), weight.dims());
    let sizes = absolute_gram(&own.abs()?)?.matmul(&weights.detach())?.reshape(dims[0])?;
    let share = peak(&(sizes / sums.detach())?)?;
    let taps: usize = dims[2..].iter().product();
    let steps = dims[1] * taps + dims[0] * 4 * taps + 64;
    let unit = if own.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let x = steps as f64 * unit * share;
    Ok(if x < 0.1 { 1.0 + 4.0 * x } else { f64::INFINITY })
}

fn built(place: &Place) -> Result<Potential> {
    let (weight, q) = (place.parameter("weight")?, place.parameter("q")?);
    let inner = q.elem_count();
    let weights = q.exp()?.reshape((inner, 1))?;
    // Of a row of zeros the sum is 0, and nothing is taken away.
    let sums = absolute_gram(&weight)?.matmul(&weights)?.reshape(inner)?.maximum(f64::from(f32::MIN_POSITIVE))?;
    let scale = (q.exp()? / &sums)?;
    let mut shape = vec![1; weight.rank()];
    shape[1] = inner;
    // In training nothing is read back, and nothing proved.
    let is_promised = weight.track_op();
    let lipschitz = if is_promised { 1.0 } else { rounded(&weight, &weights, &sums)? };
    let (scale, bias) = (scale.reshape(shape)?, place.optional("bias"));
    Ok(Potential { weight, bias, scale, lipschitz, is_promised })
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
