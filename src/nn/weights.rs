//! Weights in and out: safetensors, the parameters under their names, the network's layers in the file's metadata; and
//! in from PyTorch.
//!
//! Reading is strict: every parameter present, none besides, shapes equal, all numbers finite.

use super::pytorch::{self, Archive};
use super::{LayerSpec, Sequential};
use crate::compute::files::{Tensors, parse_safetensors, read_bytes, write_safetensors};
use crate::compute::random::Generator;
use candle_core::{DType, Device, Error, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// Key of the metadata entry that holds the network.
const NETWORK: &str = "workbench.network";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    input: Vec<usize>,
    layers: Vec<LayerSpec>,
}

impl Sequential {
    /// Write all parameters, and the layers as metadata.
    pub fn save(&self, path: &Path) -> Result<()> {
        let network = Network { input: self.input().to_vec(), layers: self.specs() };
        let network = serde_json::to_string(&network).map_err(|e| Error::Msg(format!("save: {e}")))?;
        let tensors: Vec<_> = self.parameters().iter().map(|(n, v)| (n.clone(), v.as_tensor().detach())).collect();
        for (name, tensor) in &tensors {
            check_finite("save", name, tensor)?;
        }
        write_safetensors(path, tensors, Some(HashMap::from([(NETWORK.into(), network)])))
    }

    /// Replace all parameters by those of a safetensors or PyTorch file; nothing changes unless all of them fit.
    pub fn load(&self, path: &Path) -> Result<()> {
        let (source, bytes) = (path.display().to_string(), read_bytes(path)?);
        if !pytorch::is_pytorch(path, &bytes) {
            return self.set_weights(&source, &parse_safetensors(path, &bytes, self.device())?.0);
        }
        let archive = Archive::open(&source, &bytes)?;
        let described = archive.tensors.iter().map(|(name, stored)| {
            let element = stored.storage.element;
            (name.as_str(), Described { dims: &stored.dims, kind: element.name.into(), float: element.float.is_some() })
        });
        self.check_fit(&source, described.collect())?;
        self.set_weights(&source, &archive.read(self.device())?)
    }

    /// Replace all parameters by `found`, whatever their number type; `source` is named in errors.
    pub fn set_weights(&self, source: &str, found: &Tensors) -> Result<()> {
        let described = found.iter().map(|(name, t)| {
            let kind = format!("{:?}", t.dtype());
            (name.as_str(), Described { dims: t.dims(), kind, float: t.dtype().is_float() })
        });
        self.check_fit(source, described.collect())?;
        let mut fitting = vec![];
        for (name, var) in self.parameters() {
            check_finite(&format!("load: {source}"), name, &found[name])?;
            fitting.push((var, found[name].to_dtype(self.dtype())?.to_device(self.device())?));
        }
        fitting.into_iter().try_for_each(|(var, value)| var.set(&value))
    }

    /// Is there a tensor of floats for every parameter, of its shape, and none besides?
    fn check_fit(&self, source: &str, found: HashMap<&str, Described>) -> Result<()> {
        let mut faults = vec![];
        for (name, var) in self.parameters() {
            match found.get(name.as_str()) {
                None => faults.push(format!("`{name}` {:?} is missing", var.dims())),
                Some(t) if t.dims != var.dims() => {
                    faults.push(format!("`{name}` is {:?}, the network wants {:?}", t.dims, var.dims()));
                }
                Some(t) if !t.float => faults.push(format!("`{name}` is {}, no float", t.kind)),
                Some(_) => {}
            }
        }
        let mut extra: Vec<_> = found.into_keys().filter(|n| self.parameter(n).is_none()).collect();
        extra.sort();
        faults.extend(extra.into_iter().map(|n| format!("`{n}` belongs to no layer of the network")));
        if faults.is_empty() {
            return Ok(());
        }
        let more = if faults.len() > 5 { format!("; and {} more", faults.len() - 5) } else { String::new() };
        faults.truncate(5);
        Err(Error::Msg(format!("load: {source} does not fit the network: {}{more}", faults.join("; "))))
    }
}

/// What a file says of a tensor; known before its numbers are read.
struct Described<'a> {
    dims: &'a [usize],
    kind: String,
    float: bool,
}

/// Build the network that a weights file describes, with the file's weights.
pub fn load_model(path: &Path, dtype: DType, device: &Device) -> Result<Sequential> {
    let bytes = read_bytes(path)?;
    let without = || {
        Error::Msg(format!(
            "load_model: {} holds weights but no description of the network; build it with `sequential` and use \
             `model.load(path)`",
            path.display()
        ))
    };
    if pytorch::is_pytorch(path, &bytes) {
        return Err(Archive::open(&path.display().to_string(), &bytes).err().unwrap_or_else(without));
    }
    let (tensors, metadata) = parse_safetensors(path, &bytes, device)?;
    let text = metadata.get(NETWORK).ok_or_else(without)?;
    let network: Network = serde_json::from_str(text)
        .map_err(|e| Error::Msg(format!("load_model: {}: the description of the network: {e}", path.display())))?;
    let model = Sequential::new(&network.input, &network.layers, dtype, device, &Generator::new(0))?;
    model.set_weights(&path.display().to_string(), &tensors)?;
    Ok(model)
}

fn check_finite(op: &str, name: &str, tensor: &Tensor) -> Result<()> {
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::Msg(format!(
            "{op}: `{name}` holds {} at element {at} of {}; the weights are unusable",
            values[at],
            values.len()
        ))),
    }
}
