//! `lln_linear(features)`: last-layer normalisation (Singla et al. 2022): a matrix whose rows have norm 1, for the head of a network
//!
//! ```text
//! W_i / ||W_i||      a margin's bound is L ||w_y - w_j||, at most 2 L: the map itself may stretch by more than 1
//! ```
//!
//! Start: as `linear`.

use super::entry::{Argument, DENSE, Entry, Takes, dense_shown};
use super::linear::Linear;
use super::made::{Made, Making, of_linear, read_made};
use super::spec::{LayerSpec, Parameter, Place};
use crate::compute::norms::rows::unit_rows;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlnLinear {
    pub features: usize,
    pub bias: bool,
}

pub const ENTRY: Entry = Entry {
    name: "lln_linear",
    arguments: DENSE,
    options: &[Argument { name: "bias", takes: Takes::Flag }],
    make: |given| {
        LayerSpec::of(Made(LlnLinear { features: given.count("features", 1), bias: given.flag("bias", true) }))
    },
    read: read_made::<LlnLinear>,
};

impl Making for LlnLinear {
    fn entry(&self) -> &'static Entry {
        &ENTRY
    }

    fn describe(&self) -> String {
        dense_shown(ENTRY.name, self.features, self.bias)
    }

    fn plain(&self, _: &[usize]) -> std::result::Result<LayerSpec, String> {
        Ok(LayerSpec::of(Linear { features: self.features, bias: self.bias }))
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        of_linear(self.features, self.bias, input)
    }

    fn weight(&self, place: &Place) -> Result<Tensor> {
        unit_rows(&place.parameter("weight")?)
    }
}
