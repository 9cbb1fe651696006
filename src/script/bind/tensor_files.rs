//! Tensors in files: safetensors and npy. Writes go beside the file and are renamed, so a failed one leaves the old file.

use super::host::host;
use super::types::Tensor;
use crate::compute::files;
use crate::script::error::{Res, candle, fail};
use rhai::plugin::*;
use rhai::{Engine, Map, NativeCallContext};
use std::path::Path;

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(tensor_files).into());
}

#[export_module]
mod tensor_files {
    #[rhai_fn(return_raw)]
    pub fn save_tensors(path: &str, tensors: Map) -> Res<()> {
        let mut list = vec![];
        for (name, value) in tensors {
            let kind = value.type_name();
            let tensor = value.try_cast::<Tensor>();
            let tensor = tensor.ok_or_else(|| fail(format!("save_tensors: `{name}` is one {kind}, no tensor")))?;
            list.push((name.to_string(), tensor.0.detach()));
        }
        files::write_safetensors(Path::new(path), list, None).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn load_tensors(context: NativeCallContext, path: &str) -> Res<Map> {
        let found = files::read_safetensors(Path::new(path), &host(&context).device).map_err(candle)?;
        Ok(found.into_iter().map(|(name, t)| (name.into(), Dynamic::from(Tensor(t)))).collect())
    }
    #[rhai_fn(pure, return_raw)]
    pub fn save_npy(tensor: &mut Tensor, path: &str) -> Res<()> {
        files::write_npy(Path::new(path), &tensor.0).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn load_npy(context: NativeCallContext, path: &str) -> Res<Tensor> {
        files::read_npy(Path::new(path), &host(&context).device).map(Tensor).map_err(candle)
    }
}
