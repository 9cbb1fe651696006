//! `x - 2 W^T T relu(W x + b)`, T diagonal and at least 0: the gradient step of a convex potential, what CPL and SLL are
//!
//! ```text
//! Lipschitz   T^1/2 W has a norm of at most 1 (SLL), or t (CPL): slopes D in [0, 1], I - 2 W^T T D W between I and (1 - 2 t^2) I
//!             L = max(1, 2 t^2 - 1)
//! box         W m + b -+ |W| h before relu, m +- h the box;  l - 2 |W|^T T h' - 2 W^T T m'  and the other way round
//! ```

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::entry::{Argument, Entry, Takes, image, settings};
use super::graph::{Attribute, Graph};
use super::made::{keep_parameters, made, vector};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use crate::compute::conv::{Window, conv2d, conv2d_input};
use crate::compute::norms::channels::add_bias;
use crate::compute::orthogonal::power_iteration;
use crate::compute::variables::assign;
use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Debug;
use std::rc::Rc;

/// A kind that is such a step, by its settings.
pub trait Stepping: Debug + Serialize + 'static {
    fn entry(&self) -> &'static Entry;
    /// The layer as a script would write it.
    fn describe(&self) -> String;
    /// Channels (or features) between.
    fn inner(&self) -> usize;
    /// Side of the kernel; none of a step of vectors.
    fn kernel(&self) -> Option<usize>;
    /// Why its other settings make no layer.
    fn check(&self) -> std::result::Result<(), String>;
    /// Over an input that fits.
    fn parameters(&self, input: &[usize]) -> Vec<Parameter>;
    fn potential(&self, place: &Place) -> Result<Potential>;
}

/// What one of images is given.
pub(super) const OF_IMAGES: &[Argument] = &[
    Argument { name: "inner", takes: Takes::Positive("the number of inner channels") },
    Argument { name: "kernel", takes: Takes::Positive("the kernel size") },
];

/// What one of vectors is given.
pub(super) const OF_VECTORS: &[Argument] =
    &[Argument { name: "inner", takes: Takes::Positive("the number of inner features") }];

/// Such a kind as a layer.
#[derive(Clone, Debug)]
pub struct Stepped<S>(pub S);

impl<S: Stepping> Kind for Stepped<S> {
    fn name(&self) -> &str {
        self.0.entry().name
    }

    fn own(&self) -> Vec<Own> {
        made(self.0.entry().name)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let between = match self.0.kernel() {
            Some(_) => image(input).map(|_| "channels")?,
            None => vector(input).map(|_| "features")?,
        };
        match self.0.kernel() {
            _ if self.0.inner() == 0 => Err(format!("it has no inner {between}")),
            Some(k) if k.is_multiple_of(2) => {
                Err(format!("a {k}x{k} kernel has no pixel in its middle; take an odd one"))
            }
            _ => self.0.check().map(|()| input.to_vec()),
        }
    }

    fn settings(&self) -> Map<String, Value> {
        settings(&self.0)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        self.0.parameters(input)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(self.0.potential(place)?)))
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        self.0.potential(place)?.drawn(place, graph, x)
    }
}

/// The settings of such a kind from a file.
pub(super) fn read_stepped<S: Stepping + for<'de> Deserialize<'de>>(
    settings: Map<String, Value>,
) -> std::result::Result<LayerSpec, String> {
    let kind = serde_json::from_value::<S>(Value::Object(settings)).map_err(|e| e.to_string())?;
    Ok(LayerSpec::of(Stepped(kind)))
}

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
    /// The vector that `scale` comes from, and the steps that it goes after each of an optimiser.
    pub follows: Option<(Var, usize)>,
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
        Rc::new(Self { weight: self.weight.detach(), bias, scale: self.scale.detach(), follows: None, ..*self })
    }

    fn after_step(&self) -> Result<()> {
        match &self.follows {
            Some((u, steps)) => assign(u, &power_iteration(&self.weight, u.as_tensor(), *steps)?),
            None => Ok(()),
        }
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
