//! `abs()`: |x|, which keeps the norm of the gradient. Its box is not that of its ends: one that holds 0 begins there.

use super::activation::{Activation, Boxes, Choice, Clipping, Facts, Lines, Relaxation};
use super::entry::{Entry, any_shape, none_left, without_settings};
use super::lines::bent;
use super::spec::{LayerSpec, Role};
use crate::compute::elementwise::clip::{larger, relu};
use candle_core::{Result, Tensor};
use std::rc::Rc;

#[derive(Clone, Copy, Debug)]
pub struct Abs;

pub const ENTRY: Entry = Entry {
    name: "abs",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(Abs),
    read: |settings| none_left(&settings, Abs),
};

without_settings!(Abs, ENTRY, any_shape, |_| Ok(Role::Activation(Rc::new(Abs))), |_, graph, x| Ok(graph.apply(
    "Abs",
    &[&x],
    &[]
)));

impl Activation for Abs {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.abs()
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        Ok(each.clone())
    }

    fn facts(&self) -> Facts {
        Facts { lipschitz: 1.0, roundings: Some(0), thresholds: vec![], cancels: false, fused: None }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        Some(self)
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    fn lines(&self) -> Option<&dyn Lines> {
        Some(self)
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }
}

impl Boxes for Abs {
    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
        Ok([relu(&larger(lower, &upper.neg()?)?)?, larger(&lower.neg()?, upper)?])
    }
}

impl Lines for Abs {
    fn over(&self, lower: &Tensor, upper: &Tensor, choice: &Choice) -> Result<Relaxation> {
        bent(lower, upper, -1.0, 1.0, choice)
    }
}
