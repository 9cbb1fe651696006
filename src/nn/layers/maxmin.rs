//! `maxmin()`: the larger and the smaller of channel i and channel i + C/2 (Anil et al. 2019); `clipped_maxmin(max, min)` cuts them at
//! learned thresholds, a pair for each pair of neurons (Huang et al. 2021).

use super::activation::{Activation, Boxes, Choice, Clipping, Excess, Facts, Fused, Lines, Relaxation, Side, not};
use super::entry::{Argument, Entry, Takes, none_left, read, settings, without_settings};
use super::graph::{Attribute, Graph};
use super::pairs::{halves, paired as paired_lines};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use crate::compute::elementwise::clip::larger;
use crate::compute::elementwise::pairs::sorted_pairs;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Copy, Debug)]
pub struct MaxMin;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClippedMaxMin {
    pub max: f64,
    pub min: f64,
}

pub const ENTRY: Entry = Entry {
    name: "maxmin",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(MaxMin),
    read: |settings| none_left(&settings, MaxMin),
};

pub const CLIPPED: Entry = Entry {
    name: "clipped_maxmin",
    arguments: &[Argument { name: "max", takes: Takes::Number }, Argument { name: "min", takes: Takes::Number }],
    options: &[],
    make: |given| LayerSpec::of(ClippedMaxMin { max: given.number("max", 1.0), min: given.number("min", -1.0) }),
    read: read::<ClippedMaxMin>,
};

pub(super) fn paired(input: &[usize]) -> std::result::Result<Vec<usize>, String> {
    match input[0].is_multiple_of(2) {
        true => Ok(input.to_vec()),
        false => Err(format!("it pairs the two halves of the channels and cannot split {} of them", input[0])),
    }
}

without_settings!(MaxMin, ENTRY, paired, |_| Ok(Role::Activation(Rc::new(MaxMin))), |place, graph, x| {
    let [top, bottom] = drawn(place, graph, &x);
    Ok(graph.apply("Concat", &[&top, &bottom], &[("axis", Attribute::Int(1))]))
});

impl Kind for ClippedMaxMin {
    fn name(&self) -> &str {
        CLIPPED.name
    }

    fn describe(&self) -> String {
        format!("clipped_maxmin({:?}, {:?})", self.max, self.min)
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let (Self { max, min }, shape) = (self, paired(input)?);
        match max.is_finite() && min.is_finite() {
            true => Ok(shape),
            false => Err(format!("its thresholds are {max} and {min}, they must be finite")),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let mut half = [&[1], input].concat();
        half[1] /= 2;
        [("max", self.max), ("min", self.min)].map(|(n, v)| Parameter::new(n, &half, Start::Constant(v))).to_vec()
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let [top, bottom] = drawn(place, graph, &x);
        let (max, min) =
            (graph.numbers("max", &place.parameter("max")?), graph.numbers("min", &place.parameter("min")?));
        let top = graph.apply("Min", &[&top, &max], &[]);
        let bottom = graph.apply("Max", &[&bottom, &min], &[]);
        Ok(graph.apply("Concat", &[&top, &bottom], &[("axis", Attribute::Int(1))]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(Clipped { max: place.parameter("max")?, min: place.parameter("min")? })))
    }
}

/// The larger and the smaller of each pair.
fn drawn(place: &Place, graph: &mut Graph, x: &str) -> [String; 2] {
    let [p, q] = drawn_halves(place, graph, x);
    [graph.apply("Max", &[&p, &q], &[]), graph.apply("Min", &[&p, &q], &[])]
}

/// The two halves of the channels.
pub(super) fn drawn_halves(place: &Place, graph: &mut Graph, x: &str) -> [String; 2] {
    let sizes = graph.sizes("halves", &[place.input[0] / 2; 2]);
    let mut halves = graph.parts("Split", &[x, &sizes], &[("axis", Attribute::Int(1))], 2);
    let second = halves.pop().unwrap_or_default();
    [halves.pop().unwrap_or_default(), second]
}

/// An error is at most the larger one of its pair.
fn in_pairs(each: &Tensor) -> Result<Tensor> {
    let (p, q) = halves(each)?;
    let both = larger(&p, &q)?;
    Tensor::cat(&[&both, &both], 1)
}

impl Activation for MaxMin {
    fn lines(&self) -> Option<&dyn Lines> {
        Some(self)
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        sorted_pairs(x, None)
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        in_pairs(each)
    }

    fn facts(&self) -> Facts {
        Facts {
            lipschitz: 1.0,
            roundings: Some(0),
            thresholds: vec![],
            cancels: false,
            fused: Some(Fused::Sort { thresholds: None }),
        }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }
}

impl Lines for MaxMin {
    fn over(&self, lower: &Tensor, upper: &Tensor, choice: &Choice) -> Result<Relaxation> {
        paired_lines(lower, upper, None, choice)
    }
}

/// `min(max(p, q), max)` and `max(min(p, q), min)`, thresholds `[1, C/2, ...]`.
#[derive(Clone, Debug)]
struct Clipped {
    max: Tensor,
    min: Tensor,
}

impl Activation for Clipped {
    fn lines(&self) -> Option<&dyn Lines> {
        Some(self)
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        sorted_pairs(x, Some((&self.max, &self.min)))
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        in_pairs(each)
    }

    fn facts(&self) -> Facts {
        Facts {
            lipschitz: 1.0,
            roundings: Some(0),
            thresholds: vec![self.max.clone(), self.min.clone()],
            cancels: false,
            fused: Some(Fused::Sort { thresholds: Some((self.max.clone(), self.min.clone())) }),
        }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        Some(self)
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(Self { max: self.max.detach(), min: self.min.detach() })
    }
}

impl Clipping for Clipped {
    fn side(&self) -> Side {
        Side::Behind
    }

    fn varying(&self, lower: &Tensor, upper: &Tensor) -> Result<Tensor> {
        let ((top, _), (_, bottom)) = (halves(lower)?, halves(upper)?);
        let top = not(&top.broadcast_ge(&self.max)?)?;
        let bottom = not(&bottom.broadcast_le(&self.min)?)?;
        Tensor::cat(&[top, bottom], 1)
    }

    /// Pairs of values, not element by element.
    fn unclipped(&self, _: &Tensor, _: &Tensor) -> Option<Result<Tensor>> {
        None
    }

    fn excess(&self, lower: &Tensor, upper: &Tensor) -> Result<Excess> {
        let ((top, _), (_, bottom)) = (halves(lower)?, halves(upper)?);
        let below = bottom.broadcast_sub(&self.min)?.relu()?;
        Ok(Excess { below, above: Some(self.max.broadcast_sub(&top)?.relu()?) })
    }
}

impl Lines for Clipped {
    fn over(&self, lower: &Tensor, upper: &Tensor, choice: &Choice) -> Result<Relaxation> {
        paired_lines(lower, upper, Some((&self.max, &self.min)), choice)
    }
}
