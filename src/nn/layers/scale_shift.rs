//! `scale_shift()`: channel by channel times a learned `weight`, plus a learned `bias`. What a batch normalisation is at test time.

use super::entry::{Entry, none_left};
use super::graph::Graph;
use super::normalize::Scaling;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use candle_core::{Result, Tensor};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Copy, Debug)]
pub struct ScaleShift;

pub const ENTRY: Entry = Entry {
    name: "scale_shift",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(ScaleShift),
    read: |settings| none_left(&settings, ScaleShift),
};

impl Kind for ScaleShift {
    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn name(&self) -> &str {
        ENTRY.name
    }

    fn settings(&self) -> Map<String, Value> {
        Map::new()
    }

    fn describe(&self) -> String {
        "scale_shift()".into()
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let start = |name, value| Parameter::new(name, &input[..1], Start::Constant(value));
        vec![start("weight", 1.0), start("bias", 0.0)]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let mut shape = vec![1; place.input.len() + 1];
        shape[1] = place.input[0];
        let weight = graph.numbers("weight", &place.parameter("weight")?.reshape(shape.as_slice())?);
        let bias = graph.numbers("bias", &place.parameter("bias")?.reshape(shape)?);
        let scaled = graph.apply("Mul", &[&x, &weight], &[]);
        Ok(graph.apply("Add", &[&scaled, &bias], &[]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        let mut shape = vec![1; place.input.len() + 1];
        shape[1] = place.input[0];
        let read = |name| -> Result<Tensor> { place.parameter(name)?.reshape(shape.clone()) };
        Ok(Role::Affine(Rc::new(Scaling { scale: read("weight")?, shift: read("bias")? })))
    }
}
