//! Tensors in files: safetensors, NumPy's arrays, IDX, and what others have saved. Writes go beside the file and are renamed, so a failed one
//! leaves the old file.

use super::host::host;
use crate::compute::tensor_files as files;
use crate::nn::weights;
use crate::script::language::options::Options;
use crate::script::language::signatures::short_type;
use crate::script::language::{Res, candle, fail};
use crate::script::values::Tensor;
use rhai::plugin::*;
use rhai::{Dynamic, Engine, Map, NativeCallContext};

pub fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(tensor_files).into());
}

/// All tensors of a file of weights; of several sets the one that stands under `take`.
fn tensors_of(context: &NativeCallContext, path: &str, take: Option<&str>) -> Res<Map> {
    let host = host(context);
    let path = host.access.read("load_tensors", path).map_err(fail)?;
    let bytes = files::read_bytes(&path).map_err(candle)?;
    let (found, said) = weights::read_all(&path, &bytes, take, &host.device).map_err(candle)?;
    said.iter().for_each(|line| host.run.note(&format!("note: load_tensors: {line}")));
    Ok(found.into_iter().map(|(name, t)| (name.into(), Dynamic::from(Tensor(t)))).collect())
}

#[export_module]
mod tensor_files {
    #[rhai_fn(return_raw)]
    pub fn save_tensors(context: NativeCallContext, path: &str, tensors: Map) -> Res<()> {
        let path = host(&context).access.write("save_tensors", path).map_err(fail)?;
        let mut list = vec![];
        for (name, value) in tensors {
            let kind = short_type(value.type_name());
            let tensor = value.try_cast::<Tensor>();
            let tensor = tensor.ok_or_else(|| fail(format!("save_tensors: `{name}` is one {kind}, no tensor")))?;
            list.push((name.to_string(), tensor.0.detach()));
        }
        files::write_safetensors(&path, list, None).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn load_tensors(context: NativeCallContext, path: &str) -> Res<Map> {
        tensors_of(&context, path, None)
    }
    #[rhai_fn(name = "load_tensors", return_raw)]
    pub fn load_tensors_options(context: NativeCallContext, path: &str, options: Map) -> Res<Map> {
        let mut options = Options::new("load_tensors", options);
        let take = options.string("take")?;
        options.finish()?;
        tensors_of(&context, path, take.as_deref())
    }
    #[rhai_fn(return_raw)]
    pub fn save_npy(context: NativeCallContext, tensor: Tensor, path: &str) -> Res<()> {
        let path = host(&context).access.write("save_npy", path).map_err(fail)?;
        files::write_npy(&path, &tensor.0).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn load_npy(context: NativeCallContext, path: &str) -> Res<Tensor> {
        let host = host(&context);
        let path = host.access.read("load_npy", path).map_err(fail)?;
        files::read_npy(&path, &host.device).map(Tensor).map_err(candle)
    }
    #[rhai_fn(return_raw)]
    pub fn load_npz(context: NativeCallContext, path: &str) -> Res<Map> {
        let host = host(&context);
        let path = host.access.read("load_npz", path).map_err(fail)?;
        Ok(map(files::read_npz(&path, &host.device).map_err(candle)?))
    }
    #[rhai_fn(return_raw)]
    pub fn load_idx(context: NativeCallContext, path: &str) -> Res<Tensor> {
        let host = host(&context);
        let path = host.access.read("load_idx", path).map_err(fail)?;
        files::read_idx(&path, &host.device).map(Tensor).map_err(candle)
    }
}

/// Named tensors as scripts hold them.
fn map(tensors: impl IntoIterator<Item = (String, candle_core::Tensor)>) -> Map {
    tensors.into_iter().map(|(name, t)| (name.into(), Dynamic::from(Tensor(t)))).collect()
}
