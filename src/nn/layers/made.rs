//! Layers whose weight is the kind's own function of free parameters: `aol_conv2d`, `cayley_linear` and their like. Built, they are plain
//! convolutions and linear layers, so that every bound sees the weight that is there, whatever the function promises.

use super::entry::{Entry, settings};
use super::graph::Graph;
use super::spec::{Following, Kind, LayerSpec, Own, Parameter, Place, Role, Start, Word};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Debug;

/// A kind with a weight of this sort, by its settings.
pub trait Making: Debug + Serialize + 'static {
    fn entry(&self) -> &'static Entry;
    /// The layer as a script would write it.
    fn describe(&self) -> String;
    /// The layer that it is once its weight is made, or why the input does not fit.
    fn plain(&self, input: &[usize]) -> std::result::Result<LayerSpec, String>;
    /// What the weight is made of, and the bias.
    fn parameters(&self, input: &[usize]) -> Vec<Parameter>;
    /// The weight of the plain layer.
    fn weight(&self, place: &Place) -> Result<Tensor>;
}

/// Such a kind as a layer.
#[derive(Clone, Debug)]
pub struct Made<M>(pub M);

impl<M: Making> Made<M> {
    fn through<R>(&self, place: &Place, with: impl FnOnce(&LayerSpec, &Place) -> Result<R>) -> Result<R> {
        let plain = self.0.plain(place.input).map_err(candle_core::Error::Msg)?;
        let mut parameters = vec![("weight".to_string(), self.0.weight(place)?)];
        parameters.extend(place.optional("bias").map(|bias| ("bias".to_string(), bias)));
        with(&plain, &Place { parameters: &parameters, ..*place })
    }
}

impl<M: Making> Kind for Made<M> {
    fn name(&self) -> &str {
        self.0.entry().name
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn own(&self) -> Vec<Own> {
        made(self.0.entry().name)
    }

    fn settings(&self) -> Map<String, Value> {
        settings(&self.0)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        self.0.plain(input)?.output_shape(input)
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        self.0.parameters(input)
    }

    fn build(&self, place: &Place) -> Result<Role> {
        self.through(place, |plain, place| plain.build(place))
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let path = keep_parameters(place, graph);
        graph.at(&format!("{path}.made"));
        let y = self.through(place, |plain, place| plain.export(place, graph, x))?;
        graph.at(&path);
        Ok(y)
    }
}

/// The parameters that numbers of the graph are made of, which nothing in it reads: for whoever reads it back. Gives the layer's path.
pub(super) fn keep_parameters(place: &Place, graph: &mut Graph) -> String {
    place.parameters.iter().for_each(|(name, t)| drop(graph.numbers(name, t)));
    graph.path().to_string()
}

/// What a kind says of itself whose numbers are made of parameters.
pub(super) fn made(name: &str) -> Vec<Own> {
    vec![Own { name: name.into(), identity: String::new(), word: Word::Made }]
}

/// PyTorch's start of a layer whose outputs add up `fan_in` products, weight and bias: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
pub(super) fn torch_start(fan_in: usize) -> Start {
    Start::Uniform { bound: 1.0 / (fan_in as f64).sqrt() }
}

/// "" or ", bias: false".
pub(super) fn without_bias(bias: bool) -> &'static str {
    if bias { "" } else { ", bias: false" }
}

/// A weight, and a bias where there is one.
pub(super) fn weight_and_bias(shape: &[usize], bias: Option<usize>, start: &Start) -> Vec<Parameter> {
    let mut list = vec![Parameter::new("weight", shape, start.clone())];
    list.extend(bias.map(|features| Parameter::new("bias", &[features], start.clone())));
    list
}

/// A linear layer's own, in PyTorch's start.
pub(super) fn of_linear(features: usize, bias: bool, input: &[usize]) -> Vec<Parameter> {
    let inputs = vector(input).unwrap_or(1);
    weight_and_bias(&[features, inputs], bias.then_some(features), &torch_start(inputs))
}

/// The size of a vector, or why the input is none.
pub(super) fn vector(input: &[usize]) -> std::result::Result<usize, String> {
    match input {
        [features] => Ok(*features),
        _ => Err(format!("it wants a vector, its input has shape {input:?}; put flatten() before it")),
    }
}

/// A number that starts as a norm of the weight drawn before it.
#[derive(Debug)]
pub(super) struct NormOf(pub fn(&Tensor, usize) -> Result<Tensor>, pub usize);

impl Following for NormOf {
    fn value(&self, before: &[(String, Tensor)]) -> Result<Tensor> {
        self.0(latest_weight(before)?, self.1)
    }
}

/// The layer's own weight among what was drawn: in a block names have prefixes, and the latest is the layer's.
pub(super) fn latest_weight(before: &[(String, Tensor)]) -> Result<&Tensor> {
    match before.iter().rev().find(|(name, _)| name.ends_with("weight")) {
        Some((_, weight)) => Ok(weight),
        None => candle_core::bail!("no weight was drawn"),
    }
}

/// The settings of a kind whose weight it makes itself, from a file.
pub(super) fn read_made<M: Making + for<'de> Deserialize<'de>>(
    settings: Map<String, Value>,
) -> std::result::Result<LayerSpec, String> {
    let kind = serde_json::from_value::<M>(Value::Object(settings)).map_err(|e| e.to_string())?;
    Ok(LayerSpec::of(Made(kind)))
}
