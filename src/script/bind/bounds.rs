//! Bounds of one layer: ball and box, varying mask, spectral norm; worst logits.

use super::args;
use super::args::all_of;
use crate::bounds::varying::varying_box;
use crate::bounds::{self, Arithmetic, PowerOptions, WorstMethod};
use crate::compute::checked;
use crate::script::language::options::Options;
use crate::script::language::signatures::a_value_of;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Layer, Model, Region, SpectralNorm, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map};
use std::rc::Rc;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(bound).into());
}

/// A radius for all samples, or one for each.
fn radii(op: &str, x: &Tensor, epsilon: &Dynamic) -> Res<candle_core::Tensor> {
    if let Some(t) = epsilon.clone().try_cast::<Tensor>() {
        let of_each = |t: candle_core::Tensor| match t.rank() {
            0 => t.broadcast_as(x.0.dim(0)?)?.contiguous(),
            _ => Ok(t),
        };
        if !checked::are_radii(&t.0) {
            let read = || t.0.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1::<f64>();
            if let Some(bad) = read().map_err(candle)?.into_iter().find(|e| !(*e >= 0.0 && e.is_finite())) {
                return Err(fail(format!("{op}: a radius is {bad}, each must be finite and at least 0")));
            }
        }
        return of_each(t.0).and_then(|t| t.to_dtype(x.0.dtype())).map_err(candle);
    }
    let eps = args::number(op, epsilon)?;
    if !(eps >= 0.0 && eps.is_finite()) {
        return Err(fail(format!("{op}: epsilon is {eps}, it must be finite and at least 0")));
    }
    let build = || candle_core::Tensor::full(eps, x.0.dim(0)?, x.0.device())?.to_dtype(x.0.dtype());
    build().map_err(candle)
}

/// How to iterate: a number of iterations, or `#{ iterations, tolerance, dtype }`.
pub fn power(op: &'static str, value: &Dynamic) -> Res<PowerOptions> {
    if let Ok(n) = value.as_int() {
        let iterations = args::count(op, "the number of iterations", n)?;
        return Ok(PowerOptions { iterations, tolerance: None, arithmetic: Arithmetic::Own });
    }
    let Some(map) = value.clone().try_cast::<Map>() else {
        return Err(fail(format!(
            "{op}: iterations are an int or #{{ iterations, tolerance, dtype }}, got {}",
            a_value_of(value.type_name())
        )));
    };
    let mut options = Options::new(op, map);
    let tolerance = if options.has("tolerance") { Some(options.float_in("tolerance", 0.0, 0.0..)?) } else { None };
    let arithmetic = match options.choice("dtype", "own", &["own", "bf16", "f16"])? {
        "bf16" => Arithmetic::Bf16,
        "f16" => Arithmetic::F16,
        _ => Arithmetic::Own,
    };
    let power = PowerOptions { iterations: options.usize("iterations", 2000, 1..)?, tolerance, arithmetic };
    options.finish()?;
    Ok(power)
}

fn method(op: &'static str, options: Map) -> Res<WorstMethod> {
    let mut options = Options::new(op, options);
    let method = match options.choice("method", "exact", &["exact", "clip", "ball", "box"])? {
        "clip" => WorstMethod::Clip {
            iterations: options.usize("iterations", 1, 1..)?,
            constant: options.float_in("constant", 0.0, 0.0..)?,
        },
        "ball" => WorstMethod::Ball,
        "box" => WorstMethod::Box,
        _ => WorstMethod::Exact,
    };
    options.finish()?;
    Ok(method)
}

/// Worst logits from what a walk over the layers returned.
fn worst(model: &Model, bounds: &Map, y: &Tensor, options: Map) -> Res<Tensor> {
    let part = |key: &str| bounds.get(key).cloned().unwrap_or(Dynamic::UNIT);
    let (Some(region), Some(radius)) = (part("region").try_cast::<Region>(), part("radius").try_cast::<Tensor>())
    else {
        return Err(fail(
            "worst_logits: the bounds must hold `region` (a Region before the last layer) and `radius` (a Tensor [B])",
        ));
    };
    let now = model.0.current().map_err(candle)?;
    let last = now.layers().last().ok_or_else(|| fail("worst_logits: the model has no layers"))?;
    let method = method("worst_logits", options)?;
    bounds::worst_logits(last, &region.0, &radius.0, &y.0, method).map(Tensor).map_err(candle)
}

/// The region behind the branches of a layer.
fn met(layer: &Layer, regions: Array, options: Map) -> Res<Region> {
    let mut options = Options::new("meet", options);
    let box_alone = options.bool("box", false)?;
    options.finish()?;
    let all: Vec<_> = all_of("meet", "a region", regions)?.into_iter().map(|region: Region| region.0).collect();
    bounds::meet(&layer.0, &all, box_alone).map(Region).map_err(candle)
}

#[export_module]
mod bound {
    #[rhai_fn(return_raw)]
    pub fn ball_and_box(x: Tensor, epsilon: Dynamic) -> Res<Region> {
        let epsilon = radii("ball_and_box", &x, &epsilon)?;
        bounds::Region::around(&x.0, &epsilon, false).map(Region).map_err(candle)
    }
    #[rhai_fn(name = "ball_and_box", return_raw)]
    pub fn ball_and_box_options(x: Tensor, epsilon: Dynamic, options: Map) -> Res<Region> {
        let epsilon = radii("ball_and_box", &x, &epsilon)?;
        let mut options = Options::new("ball_and_box", options);
        let (images, outward) = (options.bool("images", false)?, options.bool("outward", false)?);
        options.finish()?;
        if outward {
            return bounds::Region::around_outward(&x.0, &epsilon, images).map(Region).map_err(candle);
        }
        bounds::Region::around(&x.0, &epsilon, images).map(Region).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn region(center: Tensor, lower: Tensor, upper: Tensor, radius: Tensor) -> Res<Region> {
        bounds::Region::of_parts(&center.0, &lower.0, &upper.0, &radius.0).map(Region).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn affine(region: &mut Region, layer: Layer, sigma: Tensor) -> Res<Region> {
        region.0.affine(&layer.0, &sigma.0).map(Region).map_err(candle)
    }
    #[rhai_fn(name = "affine", pure, return_raw)]
    pub fn affine_box(region: &mut Region, layer: Layer) -> Res<Region> {
        region.0.affine_box(&layer.0).map(Region).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn before_norm(region: &mut Region, layer: Layer) -> Res<Region> {
        region.0.before_norm(&layer.0).map(Region).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn with_norm(region: &mut Region, sigma: Tensor) -> Res<Region> {
        region.0.with_norm(&sigma.0).map(Region).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn forward(region: &mut Region, layer: Layer) -> Res<Tensor> {
        region.0.forward(&layer.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn activation(region: &mut Region, layer: Layer) -> Res<Region> {
        region.0.activation(&layer.0, false).map(Region).map_err(candle)
    }
    #[rhai_fn(name = "activation", pure, return_raw)]
    pub fn activation_options(region: &mut Region, layer: Layer, options: Map) -> Res<Region> {
        let mut options = Options::new("activation", options);
        let cut = options.bool("cut", false)?;
        options.finish()?;
        region.0.activation(&layer.0, cut).map(Region).map_err(candle)
    }
    #[rhai_fn(get = "center", pure, return_raw)]
    pub fn center(region: &mut Region) -> Res<Tensor> {
        region.0.center().map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "lower", pure, return_raw)]
    pub fn lower(region: &mut Region) -> Res<Tensor> {
        region.0.lower().map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "upper", pure, return_raw)]
    pub fn upper(region: &mut Region) -> Res<Tensor> {
        region.0.upper().map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "radius", pure)]
    pub fn radius(region: &mut Region) -> Tensor {
        Tensor(region.0.radius.clone())
    }
    #[rhai_fn(get = "mean_width", pure, return_raw)]
    pub fn mean_width(region: &mut Region) -> Res<Tensor> {
        region.0.mean_width().map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn varying(activation: Layer, region: Region) -> Res<Dynamic> {
        let mask = bounds::varying(&activation.0, &region.0).map_err(candle)?;
        Ok(mask.map_or(Dynamic::UNIT, |m| Dynamic::from(Tensor(m))))
    }
    #[rhai_fn(name = "varying", return_raw)]
    pub fn varying_region(region: Region) -> Res<Tensor> {
        varying_box(&region.0).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn unclipped(activation: Layer, region: Region) -> Res<Dynamic> {
        let mask = bounds::unclipped(&activation.0, &region.0).map_err(candle)?;
        Ok(mask.map_or(Dynamic::UNIT, |m| Dynamic::from(Tensor(m))))
    }
    #[rhai_fn(return_raw)]
    pub fn meet(layer: Layer, regions: Array) -> Res<Region> {
        met(&layer, regions, Map::new())
    }
    #[rhai_fn(name = "meet", return_raw)]
    pub fn meet_options(layer: Layer, regions: Array, options: Map) -> Res<Region> {
        met(&layer, regions, options)
    }
    #[rhai_fn(return_raw)]
    pub fn norm_product(factors: Array) -> Res<Tensor> {
        let factors = args::tensors("norm_product", factors)?;
        crate::compute::norms::norm_product(&factors.iter().collect::<Vec<_>>()).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn joint_norm(parts: Array) -> Res<Tensor> {
        let parts = args::tensors("joint_norm", parts)?;
        crate::compute::norms::samples::joint_norm(&parts).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn spectral_norm(
        layer: Layer,
        u: Tensor,
        columns: Dynamic,
        rows: Dynamic,
        iterations: Dynamic,
    ) -> Res<SpectralNorm> {
        let columns = args::optional_tensor("spectral_norm", columns)?;
        let rows = args::optional_tensor("spectral_norm", rows)?;
        let options = power("spectral_norm", &iterations)?;
        bounds::spectral_norm(&layer.0, &u.0, columns.as_ref(), rows.as_ref(), options)
            .map(|pair| SpectralNorm(Rc::new(pair)))
            .map_err(candle)
    }
    #[rhai_fn(get = "sigma", pure)]
    pub fn sigma(norm: &mut SpectralNorm) -> Tensor {
        Tensor(norm.0.sigma.clone())
    }
    #[rhai_fn(get = "u", pure, return_raw)]
    pub fn right_vectors(norm: &mut SpectralNorm) -> Res<Tensor> {
        norm.0.u.unit().map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "v", pure, return_raw)]
    pub fn left_vectors(norm: &mut SpectralNorm) -> Res<Tensor> {
        norm.0.v.unit().map(Tensor).map_err(candle)
    }
    #[rhai_fn(get = "iterations", pure)]
    pub fn iterations(norm: &mut SpectralNorm) -> Array {
        norm.0.iterations.iter().map(|n| Dynamic::from(INT::from(*n))).collect()
    }
    #[rhai_fn(get = "converged", pure)]
    pub fn converged(norm: &mut SpectralNorm) -> bool {
        norm.0.converged.iter().all(|c| *c)
    }
    #[rhai_fn(get = "converged_samples", pure, return_raw)]
    pub fn converged_samples(norm: &mut SpectralNorm) -> Res<Tensor> {
        let flags: Vec<u8> = norm.0.converged.iter().map(|c| u8::from(*c)).collect();
        candle_core::Tensor::new(flags, norm.0.sigma.device()).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn worst_logits(model: Model, bounds: Map, y: Tensor) -> Res<Tensor> {
        worst(&model, &bounds, &y, Map::new())
    }
    #[rhai_fn(name = "worst_logits", return_raw)]
    pub fn worst_logits_options(model: Model, bounds: Map, y: Tensor, options: Map) -> Res<Tensor> {
        worst(&model, &bounds, &y, options)
    }
}
