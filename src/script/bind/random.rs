//! Random tensors from the session's seeded generator: the same numbers on every device.

use super::args;
use super::host::host;
use crate::script::language::{Res, candle};
use crate::script::values::Tensor;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FLOAT, NativeCallContext};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(random).into());
}

#[export_module]
mod random {
    #[rhai_fn(return_raw)]
    pub fn randn(context: NativeCallContext, shape: Array) -> Res<Tensor> {
        let (host, dims) = (host(&context), args::new_shape("randn", &shape)?);
        host.random.normal(0.0, 1.0, dims, host.dtype, &host.device).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn uniform(context: NativeCallContext, low: Dynamic, high: Dynamic, shape: Array) -> Res<Tensor> {
        let (low, high) = (args::number("uniform", &low)?, args::number("uniform", &high)?);
        let (host, dims) = (host(&context), args::new_shape("uniform", &shape)?);
        host.random.uniform(low, high, dims, host.dtype, &host.device).map(Tensor).map_err(candle)
    }
    pub fn random(context: NativeCallContext) -> FLOAT {
        host(&context).random.unit()
    }
}
