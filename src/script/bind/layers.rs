//! What a layer of a model tells about itself, and its linear map.

use super::args::all_of;
use crate::nn;
use crate::nn::layers::{Meeting, Side, Word};
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Layer, Tensor, int};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(layers).into());
}

#[export_module]
mod layers {
    #[rhai_fn(get = "index", pure)]
    pub fn index(layer: &mut Layer) -> INT {
        int(layer.0.index)
    }
    #[rhai_fn(get = "name", pure)]
    pub fn name(layer: &mut Layer) -> String {
        layer.0.spec.describe()
    }
    #[rhai_fn(get = "kind", pure)]
    pub fn kind(layer: &mut Layer) -> String {
        layer.0.spec.name().into()
    }
    #[rhai_fn(get = "form", pure, return_raw)]
    pub fn form(layer: &mut Layer) -> Res<Dynamic> {
        Ok(layer.0.form().map_err(candle)?.map_or(Dynamic::UNIT, Dynamic::from))
    }
    #[rhai_fn(get = "lipschitz", pure)]
    pub fn lipschitz(layer: &mut Layer) -> Dynamic {
        layer.0.lipschitz().map_or(Dynamic::UNIT, Dynamic::from)
    }
    #[rhai_fn(get = "mask_side", pure)]
    pub fn mask_side(layer: &mut Layer) -> Dynamic {
        match layer.0.mask_side() {
            Some(Side::Before) => "before".into(),
            Some(Side::Behind) => "behind".into(),
            None => Dynamic::UNIT,
        }
    }
    #[rhai_fn(get = "input", pure)]
    pub fn input(layer: &mut Layer) -> Array {
        layer.0.input.iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    #[rhai_fn(get = "output", pure)]
    pub fn output(layer: &mut Layer) -> Array {
        layer.0.output.iter().map(|n| Dynamic::from(int(*n))).collect()
    }
    #[rhai_fn(get = "is_affine", pure)]
    pub fn is_affine(layer: &mut Layer) -> bool {
        layer.0.is_affine()
    }
    #[rhai_fn(get = "is_activation", pure)]
    pub fn is_activation(layer: &mut Layer) -> bool {
        layer.0.is_activation()
    }
    #[rhai_fn(get = "can_clip", pure)]
    pub fn can_clip(layer: &mut Layer) -> bool {
        layer.0.can_clip()
    }
    #[rhai_fn(get = "is_maxmin", pure)]
    pub fn is_maxmin(layer: &mut Layer) -> bool {
        layer.0.is_maxmin()
    }
    #[rhai_fn(name = "forward", pure, return_raw)]
    pub fn layer_forward(layer: &mut Layer, x: Tensor) -> Res<Tensor> {
        layer.0.forward(&x.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(name = "forward", pure, return_raw)]
    pub fn layers_forward(layers: &mut Array, x: Tensor) -> Res<Tensor> {
        let all: Vec<_> = all_of("forward", "a network's layer, as `net.layers` has them", layers.clone())?
            .into_iter()
            .map(|layer: Layer| layer.0)
            .collect();
        nn::forward(&all, &x.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn apply(layer: &mut Layer, x: Tensor) -> Res<Tensor> {
        layer.0.apply(&x.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn adjoint(layer: &mut Layer, y: Tensor) -> Res<Tensor> {
        layer.0.adjoint(&y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn apply_absolute(layer: &mut Layer, h: Tensor) -> Res<Tensor> {
        layer.0.apply_absolute(&h.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn row_norms(layer: &mut Layer) -> Res<Tensor> {
        layer.0.row_norms().map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn inverse(layer: &mut Layer, y: Tensor) -> Res<Tensor> {
        layer.0.inverse(&y.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "path", pure)]
    pub fn path(layer: &mut Layer) -> String {
        layer.0.path.clone()
    }
    #[rhai_fn(pure, return_raw)]
    pub fn seen(layer: &mut Layer, x: Tensor) -> Res<Layer> {
        layer.0.seen(&x.0).map(Layer).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn joined(layer: &mut Layer, parts: Array) -> Res<Tensor> {
        let parts = crate::script::bind::args::tensors("joined", parts)?;
        layer.0.joined(&parts).map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "is_derived", pure)]
    pub fn is_derived(layer: &mut Layer) -> bool {
        layer.0.spec.is_derived()
    }
    #[rhai_fn(get = "has_statistics", pure)]
    pub fn has_statistics(layer: &mut Layer) -> bool {
        layer.0.spec.has(Word::Statistics)
    }
    #[rhai_fn(get = "meeting", pure)]
    pub fn meeting(layer: &mut Layer) -> Dynamic {
        match layer.0.meeting() {
            Some(Meeting::Sum) => "sum".into(),
            Some(Meeting::Concatenation) => "concatenation".into(),
            None => Dynamic::UNIT,
        }
    }
    #[rhai_fn(get = "branches", pure)]
    pub fn branches(layer: &mut Layer) -> Array {
        let list = |list: &Vec<_>| Dynamic::from_array(list.iter().cloned().map(|l| Dynamic::from(Layer(l))).collect());
        layer.0.branches.iter().map(list).collect()
    }
    #[rhai_fn(pure, return_raw)]
    pub fn apart(layer: &mut Layer, y: Tensor) -> Res<Array> {
        let parts = layer.0.apart(&y.0).map_err(candle)?;
        Ok(parts.into_iter().map(|part| Dynamic::from(Tensor(part))).collect())
    }
    #[rhai_fn(get = "one_activation", pure)]
    pub fn one_activation(layer: &mut Layer) -> Dynamic {
        let Some(parts) = layer.0.one_activation() else { return Dynamic::UNIT };
        let own = |layer: Option<&crate::nn::Layer>| layer.map_or(Dynamic::UNIT, |l| Dynamic::from(Layer(l.clone())));
        let map: Map = [
            ("first".into(), own(parts.first)),
            ("activation".into(), own(Some(parts.activation))),
            ("second".into(), own(parts.second)),
        ]
        .into();
        map.into()
    }
    #[rhai_fn(pure, return_raw)]
    pub fn linearized(layer: &mut Layer, slopes: Tensor) -> Res<Layer> {
        layer.0.linearized(&slopes.0).map(Layer).map_err(candle)
    }
    #[rhai_fn(get = "weight", pure, return_raw)]
    pub fn weight(layer: &mut Layer) -> Res<Tensor> {
        let none = || fail(format!("{} has no weight", layer.0.title()));
        layer.0.weight().cloned().map(Tensor).ok_or_else(none)
    }
}
