//! `sll_conv2d(inner, kernel)`, `sll_linear(inner)`: SDP-based Lipschitz layers (Araujo et al. 2023)
//!
//! ```text
//! y = x - 2 W^T T relu(W x + b)      1 / T_i = sum_j,t |(W W^T)_ij(t)| e^(q_j - q_i)      1-Lipschitz whatever W, b and q are
//! ```
//!
//! `inner` channels (or features) between; the shape stays. q enters by j: published code for convolutions has it by i twice, where it does
//! nothing. It is nonlinear by itself, and needs no activation beside. Start: W and b U(-1/sqrt(fan_in), 1/sqrt(fan_in)), q 0.

use super::affine::peak;
use super::entry::Entry;
use super::made::{torch_start, weight_and_bias};
use super::potential::{OF_IMAGES, OF_VECTORS, Potential, Stepped, Stepping, read_stepped};
use super::spec::{LayerSpec, Parameter, Place, Start};
use crate::compute::orthogonal::absolute_gram;
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

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
    arguments: OF_IMAGES,
    options: &[],
    make: |given| {
        LayerSpec::of(Stepped(SllConv2d { inner: given.count("inner", 1), kernel: given.count("kernel", 1) }))
    },
    read: read_stepped::<SllConv2d>,
};

pub const LINEAR: Entry = Entry {
    name: "sll_linear",
    arguments: OF_VECTORS,
    options: &[],
    make: |given| LayerSpec::of(Stepped(SllLinear { inner: given.count("inner", 1) })),
    read: read_stepped::<SllLinear>,
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
    Ok(Potential { weight, bias, scale, lipschitz, is_promised, follows: None })
}

fn with_q(weight: &[usize], fan_in: usize) -> Vec<Parameter> {
    let mut list = weight_and_bias(weight, Some(weight[0]), &torch_start(fan_in));
    list.push(Parameter::new("q", &[weight[0]], Start::Constant(0.0)));
    list
}

impl Stepping for SllConv2d {
    fn entry(&self) -> &'static Entry {
        &CONV2D
    }

    fn describe(&self) -> String {
        format!("sll_conv2d({}, {})", self.inner, self.kernel)
    }

    fn inner(&self) -> usize {
        self.inner
    }

    fn kernel(&self) -> Option<usize> {
        Some(self.kernel)
    }

    fn check(&self) -> std::result::Result<(), String> {
        Ok(())
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (k, c) = (self.kernel, input[0]);
        with_q(&[self.inner, c, k, k], c * k * k)
    }

    fn potential(&self, place: &Place) -> Result<Potential> {
        built(place)
    }
}

impl Stepping for SllLinear {
    fn entry(&self) -> &'static Entry {
        &LINEAR
    }

    fn describe(&self) -> String {
        format!("sll_linear({})", self.inner)
    }

    fn inner(&self) -> usize {
        self.inner
    }

    fn kernel(&self) -> Option<usize> {
        None
    }

    fn check(&self) -> std::result::Result<(), String> {
        Ok(())
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        with_q(&[self.inner, input[0]], input[0])
    }

    fn potential(&self, place: &Place) -> Result<Potential> {
        built(place)
    }
}
