//! `abs()`: |x|, which keeps the norm of the gradient. Its box is not that of its ends: one that holds 0 begins there.

use super::Role;
use super::activation::{Activation, Clipping, Fused};
use super::flatten::none_left;
use super::registry::Entry;
use super::spec::{Kind, LayerSpec, Parameter, Place};
use crate::compute::elementwise::clip::{larger, relu};
use candle_core::{Result, Tensor};
use serde_json::{Map, Value};
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

impl Kind for Abs {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        "abs()".into()
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

impl Activation for Abs {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.abs()
    }

    fn lipschitz(&self) -> f64 {
        1.0
    }

    fn is_monotone(&self) -> bool {
        false
    }

    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
        Ok([relu(&larger(lower, &upper.neg()?)?)?, larger(&lower.neg()?, upper)?])
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
        None
    }

    fn fused(&self) -> Option<Fused> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }
}
