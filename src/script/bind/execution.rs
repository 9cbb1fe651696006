//! How far f32 lies from exact arithmetic, layer by layer.

use super::args;
use crate::bounds;
use crate::script::language::{Res, candle};
use crate::script::values::{Execution, Layer, Region, Tensor};
use rhai::plugin::*;
use rhai::{Dynamic, Engine};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(execution).into());
}

#[export_module]
mod execution {
    #[rhai_fn(return_raw)]
    pub fn f32_execution(region: Region) -> Res<Execution> {
        bounds::Execution::start(&region.0).map(Execution).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn affine(
        execution: &mut Execution,
        layer: Layer,
        region: Region,
        radius: Tensor,
        sigma: Tensor,
    ) -> Res<Execution> {
        execution.0.affine(&layer.0, &region.0, &radius.0, &sigma.0).map(Execution).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn masked(execution: &mut Execution, sigma: Tensor, rows: Dynamic) -> Res<Execution> {
        let rows = args::optional_tensor("masked", rows)?;
        execution.0.masked(&sigma.0, rows.as_ref()).map(Execution).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn activation(execution: &mut Execution, layer: Layer, region: Region) -> Res<Execution> {
        execution.0.activation(&layer.0, &region.0).map(Execution).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn widened(execution: &mut Execution, region: Region) -> Res<Region> {
        execution.0.widened(&region.0).map(Region).map_err(candle)
    }
    #[rhai_fn(get = "each", pure)]
    pub fn each(execution: &mut Execution) -> Tensor {
        Tensor(execution.0.each.clone())
    }
    #[rhai_fn(get = "norm", pure)]
    pub fn norm(execution: &mut Execution) -> Tensor {
        Tensor(execution.0.norm.clone())
    }
}
