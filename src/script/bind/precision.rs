//! What a GPU multiplies in.

use super::host::host;
use crate::compute::precision::Precision;
use crate::script::language::{Res, fail};
use rhai::plugin::*;
use rhai::{Engine, NativeCallContext};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(choice).into());
}

#[export_module]
mod choice {
    #[rhai_fn(return_raw)]
    pub fn precision(context: NativeCallContext, name: &str) -> Res<()> {
        let chosen: Precision = name.parse().map_err(|e: String| fail(e))?;
        let host = host(&context);
        host.precision.set(chosen);
        host.run.set_precision(chosen, host.device.is_cuda()).map_err(fail)
    }
}
