//! `n_activation()`: slopes 1, -1 and 1, broken at two learned points of each channel (Prach and Lampert 2023):
//!
//! ```text
//! x - 2 min(max(x, lo), hi)      lo <= hi: the two points of the channel in order
//! ```
//!
//! It rises to lo, falls to hi, rises from there: 1-Lipschitz, and able to bend either way. Both points of one channel at 0, the published
//! start, is the identity; here they begin at -1 and 0, the magnitude as far as 1 around 0.

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::entry::{Entry, any_shape, none_left};
use super::graph::Graph;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start, Starting};
use crate::base::random::Generator;
use crate::compute::elementwise::clip::{larger, smaller};
use candle_core::{DType, Device, Result, Tensor};
use serde_json::{Map, Value};
use std::rc::Rc;

/// Where the points of every channel begin.
const START: [f64; 2] = [-1.0, 0.0];

#[derive(Clone, Copy, Debug)]
pub struct NActivation;

pub const ENTRY: Entry = Entry {
    name: "n_activation",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(NActivation),
    read: |settings| none_left(&settings, NActivation),
};

impl Kind for NActivation {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        "n_activation()".into()
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        any_shape(input)
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        vec![Parameter::new("theta", &[input[0], 2], Start::By(Rc::new(Points)))]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let mut shape = vec![1; place.input.len() + 1];
        shape[1] = place.input[0];
        let theta = place.parameter("theta")?.detach();
        let [low, high] = ordered(&theta)?;
        // Not read in the graph: what the others are made of, for whoever reads it back.
        graph.numbers("theta", &theta);
        let (low, high) = (graph.numbers("low", &low.reshape(&*shape)?), graph.numbers("high", &high.reshape(shape)?));
        let two = graph.number("two", 2.0, place.dtype)?;
        let above = graph.apply("Max", &[&x, &low], &[]);
        let between = graph.apply("Min", &[&above, &high], &[]);
        let twice = graph.apply("Mul", &[&between, &two], &[]);
        Ok(graph.apply("Sub", &[&x, &twice], &[]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(Broken { theta: place.parameter("theta")?, input: place.input.to_vec() })))
    }
}

/// The points where they begin.
#[derive(Debug)]
struct Points;

impl Starting for Points {
    fn draw(&self, shape: &[usize], _: &Generator, dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::new(&[START], device)?.to_dtype(dtype)?.broadcast_as(shape)?.contiguous()
    }
}

/// The two points of each channel in order, `[C]` each.
fn ordered(theta: &Tensor) -> Result<[Tensor; 2]> {
    let point = |i: usize| theta.narrow(1, i, 1)?.squeeze(1)?.contiguous();
    let (one, other) = (point(0)?, point(1)?);
    Ok([smaller(&one, &other)?, larger(&one, &other)?])
}

/// With its points, `[C, 2]`, over samples of a shape.
#[derive(Clone, Debug)]
struct Broken {
    theta: Tensor,
    input: Vec<usize>,
}

impl Broken {
    /// The two points in order, one for each number of a sample, `[1, ...]`.
    fn points(&self) -> Result<[Tensor; 2]> {
        let [low, high] = ordered(&self.theta)?;
        let mut shape = vec![1; self.input.len() + 1];
        shape[1] = self.input[0];
        let all = [&[1], self.input.as_slice()].concat();
        let each = |point: Tensor| point.reshape(&*shape)?.broadcast_as(&*all)?.contiguous();
        Ok([each(low)?, each(high)?])
    }
}

/// `x - 2 min(max(x, low), high)`.
fn folded(x: &Tensor, low: &Tensor, high: &Tensor) -> Result<Tensor> {
    x - (smaller(&larger(x, low)?, high)? * 2.0)?
}

impl Activation for Broken {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [low, high] = self.points()?;
        folded(x, &low, &high)
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        Ok(each.clone())
    }

    /// One difference is rounded; twice a number, and the sign, are exact.
    fn facts(&self) -> Facts {
        Facts { lipschitz: 1.0, roundings: Some(1), thresholds: vec![], cancels: false, fused: None }
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        Some(self)
    }

    fn lines(&self) -> Option<&dyn Lines> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(Self { theta: self.theta.detach(), ..self.clone() })
    }
}

impl Boxes for Broken {
    /// The largest value is at an end or at the lower point, the smallest at an end or at the higher point, or at what of the box is next
    /// to these.
    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
        let [low, high] = self.points()?;
        let at = |x: &Tensor| folded(x, &low, &high);
        let next_to = |point: &Tensor| smaller(&larger(lower, point)?, upper);
        let (ends, peak, dip) = ((at(lower)?, at(upper)?), at(&next_to(&low)?)?, at(&next_to(&high)?)?);
        Ok([smaller(&smaller(&ends.0, &ends.1)?, &dip)?, larger(&larger(&ends.0, &ends.1)?, &peak)?])
    }
}
