//! `x - 2 W^T T relu(W x + b)`, T diagonal and at least 0: the gradient step of a convex potential, what CPL and SLL are
//!
//! ```text
//! Lipschitz   T^1/2 W has a norm of at most 1 (SLL), or t (CPL): slopes D in [0, 1], I - 2 W^T T D W between I and (1 - 2 t^2) I
//!             L = max(1, 2 t^2 - 1)
//! box         W m + b -+ |W| h before relu, m +- h the box;  l - 2 |W|^T T h' - 2 W^T T m'  and the other way round
//! ```

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::graph::{Attribute, Graph};
use super::made::keep_parameters;
use super::spec::Place;
use crate::compute::conv::{Window, conv2d, conv2d_input};
use crate::compute::norms::channels::add_bias;
use candle_core::{Result, Tensor};
use std::rc::Rc;

/// Over samples of one shape; `scale` is T, `[inner]`, as a broadcast over a batch.
#[derive(Clone, Debug)]
pub struct Potential {
    /// `[inner, C, k, k]`, padded to keep the image's size, or `[inner, features]`.
    pub weight: Tensor,
    pub bias: Option<Tensor>,
    pub scale: Tensor,
    pub lipschitz: f64,
    /// Is the constant only promised, as in training? Then nothing is proved with it.
    pub is_promised: bool,
}

impl Potential {
    fn there(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        match weight.rank() {
            4 => conv2d(x, weight, Window::new(1, weight.dim(3)? / 2)),
            _ => x.matmul(&weight.t()?.contiguous()?),
        }
    }

    /// `2 W^T T y`.
    fn back(&self, y: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let y = (y.broadcast_mul(&self.scale)? * 2.0)?;
        match weight.rank() {
            4 => {
                let (_, _, h, w) = y.dims4()?;
                conv2d_input(&y, weight, Window::new(1, weight.dim(3)? / 2), (h, w))
            }
            _ => y.matmul(weight),
        }
    }

    /// As operators.
    pub fn drawn(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let path = keep_parameters(place, graph);
        graph.at(&format!("{path}.made"));
        let weight = graph.numbers("weight", &self.weight);
        let mut inputs = vec![x.clone(), weight.clone()];
        inputs.extend(self.bias.as_ref().map(|bias| graph.numbers("bias", bias)));
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let k = self.weight.dims().get(2).copied();
        let window = |k: usize| {
            [
                ("kernel_shape", Attribute::ints(&[k; 2])),
                ("strides", Attribute::ints(&[1; 2])),
                ("pads", Attribute::ints(&[k / 2; 4])),
            ]
        };
        let inner = match k {
            Some(k) => graph.apply("Conv", &inputs, &window(k)),
            None => graph.apply("Gemm", &inputs, &[("transB", Attribute::Int(1))]),
        };
        let inner = graph.apply("Relu", &[&inner], &[]);
        let twice = graph.numbers("step", &(self.scale.detach() * 2.0)?);
        let inner = graph.apply("Mul", &[&inner, &twice], &[]);
        let step = match k {
            Some(k) => graph.apply("ConvTranspose", &[&inner, &weight], &window(k)),
            None => graph.apply("MatMul", &[&inner, &weight], &[]),
        };
        let y = graph.apply("Sub", &[&x, &step], &[]);
        graph.at(&path);
        Ok(y)
    }

    fn with_bias(&self, y: Tensor) -> Result<Tensor> {
        self.bias.as_ref().map_or(Ok(y.clone()), |bias| add_bias(&y, bias))
    }
}

impl Activation for Potential {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = crate::compute::elementwise::clip::relu(&self.with_bias(self.there(x, &self.weight)?)?)?;
        x - self.back(&y, &self.weight)?
    }

    /// With the bias in it, which the roundings inside are relative to as well.
    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        let weight = self.weight.abs()?;
        let inner = self.there(each, &weight)?;
        let inner = match &self.bias {
            Some(bias) => add_bias(&inner, &bias.abs()?)?,
            None => inner,
        };
        each + self.back(&inner, &weight)?
    }

    fn facts(&self) -> Facts {
        let sizes = self.weight.dims();
        let taps: usize = sizes[2..].iter().product();
        // Two sums of products, the bias, the scale, the difference.
        let roundings = taps * (sizes[0] + sizes[1]) + 8;
        let roundings = if self.is_promised { None } else { Some(roundings) };
        Facts { lipschitz: self.lipschitz, roundings, thresholds: vec![], cancels: true, fused: None }
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    fn lines(&self) -> Option<&dyn Lines> {
        None
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        Some(self)
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        let bias = self.bias.as_ref().map(Tensor::detach);
        Rc::new(Self { weight: self.weight.detach(), bias, scale: self.scale.detach(), ..*self })
    }
}

impl Boxes for Potential {
    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
        use crate::compute::elementwise::clip::relu;
        let size = self.weight.abs()?;
        let (middle, half) = (((lower + upper)? * 0.5)?, ((upper - lower)? * 0.5)?);
        let (middle, half) = (self.with_bias(self.there(&middle, &self.weight)?)?, self.there(&half, &size)?);
        let (low, high) = (relu(&(&middle - &half)?)?, relu(&(&middle + &half)?)?);
        let middle = self.back(&((&low + &high)? * 0.5)?, &self.weight)?;
        let half = self.back(&((high - low)? * 0.5)?, &size)?;
        Ok([((lower - &middle)? - &half)?, ((upper - &middle)? + &half)?])
    }
}
