//! `flatten()`: an image as a vector; the numbers and their order stay.

use super::Role;
use super::registry::Entry;
use super::spec::{Kind, LayerSpec, Parameter, Place};
use candle_core::{Result, Tensor};
use serde_json::{Map, Value};
use std::fmt::Debug;
use std::rc::Rc;

/// The same numbers in another arrangement. Values, boxes and masks go through alike, in any number type.
pub trait Reshape: Debug {
    /// `[B, input...]` to `[B, output...]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
    /// The way back, `[B, output...]` to `[B, input...]`.
    fn inverse(&self, y: &Tensor) -> Result<Tensor>;
    /// Do the numbers keep their order, so that another shape is all?
    fn keeps_order(&self) -> bool;
}

#[derive(Clone, Debug)]
pub struct Flatten;

pub const ENTRY: Entry = Entry {
    name: "flatten",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(Flatten),
    read: |settings| none_left(&settings, Flatten),
};

/// A kind without settings, from a file.
pub(super) fn none_left(settings: &Map<String, Value>, kind: impl Kind) -> std::result::Result<LayerSpec, String> {
    match settings.keys().next() {
        None => Ok(LayerSpec::of(kind)),
        Some(key) => Err(format!("unknown field `{key}`, there are none")),
    }
}

impl Kind for Flatten {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        "flatten()".into()
    }

    fn settings(&self) -> Map<String, Value> {
        Map::new()
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        Ok(vec![input.iter().product()])
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        vec![]
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Reshape(Rc::new(Flattened { input: place.input.to_vec() })))
    }
}

#[derive(Debug)]
struct Flattened {
    input: Vec<usize>,
}

impl Reshape for Flattened {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.flatten_from(1)
    }

    fn inverse(&self, y: &Tensor) -> Result<Tensor> {
        y.reshape([&[y.dim(0)?], self.input.as_slice()].concat())
    }

    fn keeps_order(&self) -> bool {
        true
    }
}
