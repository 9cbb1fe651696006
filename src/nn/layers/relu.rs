//! `relu()`: `max(x, 0)`.

use super::activation::{Activation, Boxes, Choice, Clipping, Excess, Facts, Fused, Lines, Relaxation, Side, not};
use super::entry::{Entry, any_shape, none_left, without_settings};
use super::lines::bent;
use super::spec::{LayerSpec, Role};
use crate::compute::elementwise::clip::relu;
use candle_core::{Result, Tensor};
use std::rc::Rc;

#[derive(Clone, Copy, Debug)]
pub struct Relu;

pub const ENTRY: Entry = Entry {
    name: "relu",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(Relu),
    read: |settings| none_left(&settings, Relu),
};

without_settings!(Relu, ENTRY, any_shape, |_| Ok(Role::Activation(Rc::new(Relu))), |_, graph, x| Ok(graph.apply(
    "Relu",
    &[&x],
    &[]
)));

impl Activation for Relu {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        relu(x)
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        Ok(each.clone())
    }

    fn facts(&self) -> Facts {
        Facts {
            lipschitz: 1.0,
            roundings: Some(0),
            thresholds: vec![],
            cancels: false,
            fused: Some(Fused::Clip { threshold: None }),
        }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        None
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        Some(self)
    }

    fn lines(&self) -> Option<&dyn Lines> {
        Some(self)
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }
}

impl Clipping for Relu {
    fn side(&self) -> Side {
        Side::Before
    }

    fn varying(&self, _: &Tensor, upper: &Tensor) -> Result<Tensor> {
        not(&upper.le(0.0)?)
    }

    fn unclipped(&self, lower: &Tensor, _: &Tensor) -> Option<Result<Tensor>> {
        Some(lower.gt(0.0))
    }

    fn excess(&self, _: &Tensor, upper: &Tensor) -> Result<Excess> {
        Ok(Excess { below: upper.relu()?, above: None })
    }
}

impl Lines for Relu {
    fn over(&self, lower: &Tensor, upper: &Tensor, choice: &Choice) -> Result<Relaxation> {
        bent(lower, upper, 0.0, 1.0, choice)
    }
}
