//! Layers that a script defines: `activation(name, #{ ... })` and `linear_map(name, #{ ... })`. Their closures stand behind the traits of
//! [`crate::nn::layers`], so that they train, are attacked, bounded and certified like any other layer.

mod activation;
mod definition;
mod linear_map;
pub mod weight;

use super::args;
use crate::bounds::claims;
use crate::nn::layers::Word;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Layer, LayerSpec, Model, Tensor};
use definition::Draws;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FLOAT, Map, NativeCallContext};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Draws>("Draws");
    engine.register_global_module(rhai::exported_module!(own).into());
}

#[export_module]
mod own {
    #[rhai_fn(name = "activation", return_raw)]
    pub fn own_activation(context: NativeCallContext, name: &str, options: Map) -> Res<LayerSpec> {
        super::activation::define(&context, name, options)
    }
    #[rhai_fn(return_raw)]
    pub fn linear_map(context: NativeCallContext, name: &str, options: Map) -> Res<LayerSpec> {
        super::linear_map::define(&context, name, options)
    }
    #[rhai_fn(get = "own", pure)]
    pub fn names_of_own(layer: &mut Layer) -> Array {
        let bounded = layer.0.spec.own().into_iter().filter(|own| own.word == Word::Bounds);
        bounded.map(|own| Dynamic::from(own.name)).collect()
    }
    /// An error for a claim of a model's own layers that sampling refutes.
    #[rhai_fn(return_raw)]
    pub fn check_claims(model: Model) -> Res<()> {
        let model = Model(Rc::new(model.0.current().map_err(candle)?.into_owned()));
        let claimed = |layer: &&crate::nn::Layer| layer.spec.has(Word::Bounds);
        for layer in model.0.all_layers().into_iter().filter(claimed) {
            if let Some(why) = claims::refuted(layer, model.0.dtype(), model.0.device()).map_err(candle)? {
                return Err(fail(format!("check_claims: {}: {why}", layer.title())));
            }
        }
        Ok(())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn ones(draws: &mut Draws, shape: Array) -> Res<Tensor> {
        draws.constant(1.0, &args::new_shape("ones", &shape)?).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn zeros(draws: &mut Draws, shape: Array) -> Res<Tensor> {
        draws.constant(0.0, &args::new_shape("zeros", &shape)?).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn normal(draws: &mut Draws, std: FLOAT, shape: Array) -> Res<Tensor> {
        draws.normal(std, &args::new_shape("normal", &shape)?).map(Tensor).map_err(candle)
    }
    #[rhai_fn(name = "uniform", pure, return_raw)]
    pub fn uniform_draws(draws: &mut Draws, low: FLOAT, high: FLOAT, shape: Array) -> Res<Tensor> {
        draws.uniform(low, high, &args::new_shape("uniform", &shape)?).map(Tensor).map_err(candle)
    }
}
