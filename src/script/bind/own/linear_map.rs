//! `linear_map(name, #{ apply, adjoint, apply_absolute, row_norms, ... })`: an affine layer of a script's own.

use super::definition::{Definition, Values, freeze, map_of, tensor};
use crate::compute::precision::Precision;
use crate::nn::Role;
use crate::nn::layers::{Affine, Dense, Graph, Kind, Own, Parameter, Place, Rounding, Word};
use crate::script::language::Res;
use crate::script::language::kept::{Kept, closure};
use crate::script::language::options::Options;
use crate::script::values::{LayerSpec, Tensor};
use candle_core::{DType, Device, Result, bail};
use rhai::{Dynamic, Map, NativeCallContext};
use serde_json::Value;
use std::rc::Rc;

/// The definition, before it has a place.
#[derive(Clone, Debug)]
struct OwnMap {
    definition: Rc<Definition>,
    apply: Rc<Kept>,
    adjoint: Rc<Kept>,
    apply_absolute: Rc<Kept>,
    row_norms: Rc<Kept>,
    bias: Option<Rc<Kept>>,
    /// How many products, of weights that are computed too, are added up for one output at most.
    terms: usize,
}

pub fn define(context: &NativeCallContext, name: &str, options: Map) -> Res<LayerSpec> {
    let mut options = Options::new("linear_map", options);
    let definition = Definition::read(context, "linear_map", name, &mut options)?;
    let bias =
        options.dynamic("bias").map(|f| closure(context, &definition.title, "bias", f, 1, freeze)).transpose()?;
    let mut claim = |key, wanted| definition.claim(context, &mut options, key, wanted);
    let (apply, adjoint) = (claim("apply", 2)?, claim("adjoint", 2)?);
    let (apply_absolute, row_norms) = (claim("apply_absolute", 2)?, claim("row_norms", 1)?);
    let terms = match options.is_given("terms") {
        true => options.usize("terms", 1, 1..)?,
        false => return Err(definition.missing("terms")),
    };
    let own = OwnMap {
        apply,
        adjoint,
        apply_absolute,
        row_norms,
        bias: bias.map(Rc::new),
        terms,
        definition: Rc::new(definition),
    };
    options.finish()?;
    Ok(LayerSpec(crate::nn::LayerSpec::of(own)))
}

impl Kind for OwnMap {
    fn name(&self) -> &str {
        &self.definition.name
    }

    fn settings(&self) -> serde_json::Map<String, Value> {
        serde_json::Map::new()
    }

    fn describe(&self) -> String {
        format!("linear_map({:?})", self.definition.name)
    }

    fn own(&self) -> Vec<Own> {
        let closures = [&self.apply, &self.adjoint, &self.apply_absolute, &self.row_norms];
        let closures: Vec<&Kept> = closures.into_iter().chain(&self.bias).map(|kept| &**kept).collect();
        let identity = format!("{} {}", self.definition.identity(&closures), self.terms);
        vec![Own { name: self.definition.name.clone(), identity, word: Word::Bounds }]
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        self.definition.output_shape(input)
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        self.definition.parameters()
    }

    fn export(&self, _: &Place, _: &mut Graph, _: String) -> Result<String> {
        self.definition.not_exported()
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Affine(Rc::new(Placed {
            own: self.clone(),
            values: place.parameters.to_vec(),
            input: place.input.to_vec(),
            output: place.output.to_vec(),
            numbers: (place.dtype, place.device.clone()),
        })))
    }
}

/// The map at its place.
#[derive(Clone, Debug)]
struct Placed {
    own: OwnMap,
    values: Values,
    input: Vec<usize>,
    output: Vec<usize>,
    numbers: (DType, Device),
}

impl Placed {
    fn through(&self, kept: &Kept, x: &candle_core::Tensor, shape: &[usize]) -> Result<candle_core::Tensor> {
        let arguments = vec![map_of(&self.values), Dynamic::from(Tensor(x.clone()))];
        tensor(kept, arguments, &[&[x.dim(0)?], shape].concat())
    }
}

impl Affine for Placed {
    fn forward(&self, x: &candle_core::Tensor, precision: Precision) -> Result<candle_core::Tensor> {
        self.add_bias(&self.apply(x, precision)?)
    }

    fn apply(&self, x: &candle_core::Tensor, _: Precision) -> Result<candle_core::Tensor> {
        self.through(&self.own.apply, x, &self.output)
    }

    fn adjoint(&self, y: &candle_core::Tensor, _: Precision) -> Result<candle_core::Tensor> {
        self.through(&self.own.adjoint, y, &self.input)
    }

    fn apply_absolute(&self, h: &candle_core::Tensor, _: Precision) -> Result<candle_core::Tensor> {
        self.through(&self.own.apply_absolute, h, &self.output)
    }

    fn row_norms(&self) -> Result<candle_core::Tensor> {
        let channels = self.output[0];
        let kept = &self.own.row_norms;
        let found = kept.call(vec![map_of(&self.values)])?;
        match found.try_cast::<Tensor>() {
            Some(Tensor(t)) if t.elem_count() == channels => t.reshape((1, channels)),
            Some(Tensor(t)) => {
                bail!(
                    "{} gave {:?}; a norm for each of the {channels} output channels is wanted",
                    kept.what(),
                    t.dims()
                )
            }
            None => {
                bail!("{} gave no tensor; a norm for each of the {channels} output channels is wanted", kept.what())
            }
        }
    }

    fn add_bias(&self, y: &candle_core::Tensor) -> Result<candle_core::Tensor> {
        let Some(kept) = &self.own.bias else { return Ok(y.clone()) };
        let channels = self.output[0];
        match kept.call(vec![map_of(&self.values)])?.try_cast::<Tensor>() {
            Some(Tensor(bias)) if bias.elem_count() == channels => {
                let mut shape = vec![1; y.rank()];
                shape[1] = channels;
                y.broadcast_add(&bias.reshape(shape)?)
            }
            _ => bail!("{} gave no tensor of {channels} numbers, one for each output channel", kept.what()),
        }
    }

    fn weight(&self) -> Option<&candle_core::Tensor> {
        None
    }

    fn is_trained(&self) -> bool {
        self.values.iter().any(|(_, t)| t.track_op())
    }

    fn terms(&self) -> usize {
        self.own.terms
    }

    fn rounding(&self) -> Result<Rounding> {
        bail!(
            "affine: how {} rounds in f32 is not bounded; certify with arithmetic: \"exact\"",
            self.own.definition.title
        )
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn dense(&self) -> Option<Dense> {
        None
    }

    fn structure(&self) -> Result<Option<crate::nn::layers::Structure>> {
        Ok(None)
    }

    fn numbers(&self) -> (DType, Device) {
        self.numbers.clone()
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        let values = self.values.iter().map(|(name, t)| (name.clone(), t.detach())).collect();
        Rc::new(Self { values, ..self.clone() })
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, _: &candle_core::Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}
