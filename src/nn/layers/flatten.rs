//! `flatten()`: an image as a vector; the numbers and their order stay.

use super::entry::{Entry, none_left, without_settings};
use super::graph::Attribute;
use super::reshape::Reshape;
use super::spec::{LayerSpec, Role};
use crate::compute::autograd::same_numbers;
use candle_core::{Result, Tensor};
use std::rc::Rc;

#[derive(Clone, Debug)]
pub struct Flatten;

pub const ENTRY: Entry = Entry {
    name: "flatten",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(Flatten),
    read: |settings| none_left(&settings, Flatten),
};

without_settings!(
    Flatten,
    ENTRY,
    |input| Ok(vec![input.iter().product()]),
    |place| Ok(Role::Reshape(Rc::new(Flattened { input: place.input.to_vec() }))),
    |_, graph, x| Ok(graph.apply("Flatten", &[&x], &[("axis", Attribute::Int(1))]))
);

#[derive(Debug)]
struct Flattened {
    input: Vec<usize>,
}

impl Reshape for Flattened {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(same_numbers(x, x.flatten_from(1)?))
    }

    fn inverse(&self, y: &Tensor) -> Result<Tensor> {
        Ok(same_numbers(y, y.reshape([&[y.dim(0)?], self.input.as_slice()].concat())?))
    }

    fn keeps_order(&self) -> bool {
        true
    }
}
