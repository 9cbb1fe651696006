//! `half_abs()`: the second half of the channels without their signs, the first as it is: LipNeXt's beta-Abs with a share of one half
//! (2026). It keeps the norm of the gradient, and half of the channels stay linear.

use super::abs::Abs;
use super::activation::{Activation, Boxes, Choice, Clipping, Facts, Lines, Relaxation};
use super::entry::{Entry, none_left, without_settings};
use super::graph::Attribute;
use super::maxmin::drawn_halves;
use super::pairs::halves;
use super::spec::{LayerSpec, Role};
use candle_core::{Result, Tensor};
use std::rc::Rc;

#[derive(Clone, Copy, Debug)]
pub struct HalfAbs;

pub const ENTRY: Entry = Entry {
    name: "half_abs",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(HalfAbs),
    read: |settings| none_left(&settings, HalfAbs),
};

fn split(input: &[usize]) -> std::result::Result<Vec<usize>, String> {
    match input[0].is_multiple_of(2) {
        true => Ok(input.to_vec()),
        false => Err(format!(
            "it takes the magnitudes of the second half of the channels and cannot halve {} of them",
            input[0]
        )),
    }
}

without_settings!(HalfAbs, ENTRY, split, |_| Ok(Role::Activation(Rc::new(HalfAbs))), |place, graph, x| {
    let [first, second] = drawn_halves(place, graph, &x);
    let second = graph.apply("Abs", &[&second], &[]);
    Ok(graph.apply("Concat", &[&first, &second], &[("axis", Attribute::Int(1))]))
});

impl Activation for HalfAbs {
    fn lines(&self) -> Option<&dyn Lines> {
        Some(self)
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (first, second) = halves(x)?;
        Tensor::cat(&[first, second.abs()?], 1)
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        Ok(each.clone())
    }

    fn facts(&self) -> Facts {
        Abs.facts()
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        Some(self)
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }
}

impl Boxes for HalfAbs {
    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
        let ((lower, from), (upper, to)) = (halves(lower)?, halves(upper)?);
        let [least, most] = Abs.image(&from.contiguous()?, &to.contiguous()?)?;
        Ok([Tensor::cat(&[lower, least], 1)?, Tensor::cat(&[upper, most], 1)?])
    }
}

impl Lines for HalfAbs {
    /// Those of the magnitude for the second half; the first half is its own line.
    fn over(&self, lower: &Tensor, upper: &Tensor, choice: &Choice) -> Result<Relaxation> {
        let ((lower, from), (upper, to)) = (halves(lower)?, halves(upper)?);
        // A NaN of the box is one of every line.
        let offset = ((lower + upper)? * 0.0)?;
        let slope = (&offset + 1.0)?;
        let bent = Abs.over(&from.contiguous()?, &to.contiguous()?, &choice.half(1)?)?;
        let behind = |first: &Tensor, second: &Tensor| Tensor::cat(&[first, second], 1);
        Ok(Relaxation {
            lower_slope: behind(&slope, &bent.lower_slope)?,
            lower_offset: behind(&offset, &bent.lower_offset)?,
            upper_slope: behind(&slope, &bent.upper_slope)?,
            upper_offset: behind(&offset, &bent.upper_offset)?,
            partners: None,
        })
    }
}
