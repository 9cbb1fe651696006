//! `relu()`: `max(x, 0)`.

use super::Role;
use super::activation::{Activation, Clipping, Excess, Fused, Side, not};
use super::flatten::none_left;
use super::registry::Entry;
use super::spec::{Kind, LayerSpec, Parameter, Place};
use crate::compute::elementwise::clip::relu;
use candle_core::{Result, Tensor};
use serde_json::{Map, Value};
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

impl Kind for Relu {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        "relu()".into()
    }

    fn settings(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        vec![]
    }

    fn build(&self, _: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(*self)))
    }
}

impl Activation for Relu {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        relu(x)
    }

    fn lipschitz(&self) -> f64 {
        1.0
    }

    fn is_monotone(&self) -> bool {
        true
    }

    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
        Ok([relu(lower)?, relu(upper)?])
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        Ok(each.clone())
    }

    fn roundings(&self) -> Option<usize> {
        Some(0)
    }

    fn thresholds(&self) -> Vec<Tensor> {
        vec![]
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        Some(self)
    }

    fn fused(&self) -> Option<Fused> {
        Some(Fused::Clip { threshold: None })
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

    fn excess(&self, _: &Tensor, upper: &Tensor) -> Result<Excess> {
        Ok(Excess { below: upper.relu()?, above: None })
    }
}
