//! `linear(features, #{ bias })`: a matrix over a vector.
//!
//! Start, as published with the method: weight and bias ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

use super::affine::{Affine, Dense, Rounding, Structure, peak};
use super::entry::{Argument, DENSE, Entry, Takes, dense_shown, read, settings};
use super::graph::{Attribute, Graph};
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use crate::compute::linear::product as multiplied;
use crate::compute::linear::products::{by_itself, is_by_itself};
use crate::compute::norms::channels::add_bias;
use crate::compute::norms::rows::row_norms;
use crate::compute::precision::{Precision, matmul};
use crate::compute::region::weights::Prepared;
use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    pub features: usize,
    pub bias: bool,
}

pub const ENTRY: Entry = Entry {
    name: "linear",
    arguments: DENSE,
    options: &[Argument { name: "bias", takes: Takes::Flag }, Argument { name: "weight", takes: Takes::Weight }],
    make: |given| {
        let (features, bias) = (given.count("features", 1), given.flag("bias", true));
        given.weighted(LayerSpec::of(Linear { features, bias }))
    },
    read: read::<Linear>,
};

impl Kind for Linear {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        dense_shown(ENTRY.name, self.features, self.bias)
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        match input {
            [_] if self.features > 0 => Ok(vec![self.features]),
            [_] => Err("it has no output features".into()),
            _ => Err(format!("it wants a vector, its input has shape {input:?}; put flatten() before it")),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let start = Start::Uniform { bound: 1.0 / (input[0] as f64).sqrt() };
        let mut list = vec![Parameter::new("weight", &[self.features, input[0]], start.clone())];
        if self.bias {
            list.push(Parameter::new("bias", &[self.features], start));
        }
        list
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let mut inputs = vec![x, graph.numbers("weight", &place.parameter("weight")?)];
        inputs.extend(place.optional("bias").map(|bias| graph.numbers("bias", &bias)));
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        Ok(graph.apply("Gemm", &inputs, &[("transB", Attribute::Int(1))]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Affine(Rc::new(Matrix {
            weight: place.parameter("weight")?,
            bias: place.optional("bias"),
            prepared: Prepared::default(),
        })))
    }
}

#[derive(Clone, Debug)]
struct Matrix {
    weight: Tensor,
    bias: Option<Tensor>,
    prepared: Prepared,
}

/// `x W^T`.
fn product(x: &Tensor, weight: &Tensor, precision: Precision) -> Result<Tensor> {
    if is_by_itself(x, weight) { by_itself(x, weight) } else { multiplied(x, weight, precision) }
}

impl Affine for Matrix {
    fn is_trained(&self) -> bool {
        self.weight.track_op()
    }

    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.add_bias(&self.apply(x, precision)?)
    }

    fn apply(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        product(x, &self.weight, precision)
    }

    fn adjoint(&self, y: &Tensor, precision: Precision) -> Result<Tensor> {
        matmul(y, &self.weight, precision)
    }

    fn apply_absolute(&self, h: &Tensor, precision: Precision) -> Result<Tensor> {
        product(h, &self.weight.abs()?, precision)
    }

    fn row_norms(&self) -> Result<Tensor> {
        row_norms(&self.weight.flatten_from(1)?)?.unsqueeze(0)
    }

    fn structure(&self) -> Result<Option<Structure>> {
        Ok(None)
    }

    fn numbers(&self) -> (DType, Device) {
        (self.weight.dtype(), self.weight.device().clone())
    }

    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        self.bias.as_ref().map_or(Ok(y.clone()), |bias| add_bias(y, bias))
    }

    fn weight(&self) -> Option<&Tensor> {
        Some(&self.weight)
    }

    fn terms(&self) -> usize {
        self.weight.dims()[1]
    }

    fn rounding(&self) -> Result<Rounding> {
        Ok(Rounding { steps: self.terms() + 2, largest: peak(&self.weight)?, stretch: 1.0 })
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn dense(&self) -> Option<Dense> {
        Some(Dense::Matrix { weight: self.weight.clone(), bias: self.bias.clone(), prepared: self.prepared.clone() })
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        let bias = self.bias.as_ref().map(Tensor::detach);
        Rc::new(Self { weight: self.weight.detach(), bias, prepared: Prepared::default() })
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}
