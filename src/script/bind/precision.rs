//! What a GPU multiplies in, and how much memory a step takes.

use super::host::host;
use crate::base::memory;
use crate::compute::precision::{LayoutChoice, Precision};
use crate::script::language::{Options, Res, fail};
use rhai::plugin::*;
use rhai::{Engine, Map, NativeCallContext};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(choice).into());
}

#[export_module]
mod choice {
    pub fn reset_peak_memory() -> i64 {
        memory::reset_peak() as i64
    }
    pub fn peak_memory() -> i64 {
        memory::peak() as i64
    }
    #[rhai_fn(return_raw)]
    pub fn precision(context: NativeCallContext, name: &str) -> Res<()> {
        precision_options(context, name, Map::new())
    }
    #[rhai_fn(name = "precision", return_raw)]
    pub fn precision_options(context: NativeCallContext, name: &str, options: Map) -> Res<()> {
        let chosen: Precision = name.parse().map_err(|e: String| fail(e))?;
        let mut options = Options::new("precision", options);
        let layout = options.choice_of("layout", LayoutChoice::Auto, &LayoutChoice::NAMES, &[])?;
        options.finish()?;
        let host = host(&context);
        host.precision.set(chosen);
        host.precision.set_layout(layout);
        host.run.set_precision(chosen, host.device.is_cuda()).map_err(fail)
    }
}
