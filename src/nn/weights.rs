//! Weights in and out: safetensors, the parameters under their names, the network's layers in the file's metadata; and
//! in from PyTorch.
//!
//! Reading is strict: every parameter present, none besides, shapes equal, all numbers finite. What is read is the file's own
//! network: parameters in f64 where one of them is, else in f32, which f16 and bf16 widen to exactly. A network of another type
//! takes the file's numbers rounded, which is said ([`Rounded`]); one that would become infinite is refused. Only a network
//! whose numbers are the file's own is certified.

use super::pytorch::{self, Archive};
use super::{LayerSpec, Sequential};
use crate::base::random::Generator;
use crate::compute::tensor_files::{Tensors, parse_safetensors, read_bytes, write_safetensors};
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

    /// Replace all parameters by those of a safetensors or PyTorch file; nothing changes unless all of them fit. Says what was
    /// rounded.
    pub fn load(&self, path: &Path) -> Result<Option<Rounded>> {
        let (source, bytes) = (path.display().to_string(), read_bytes(path)?);
        if !pytorch::is_pytorch(path, &bytes) {
            let (tensors, metadata) = parse_safetensors(path, &bytes, self.device())?;
            if let Some(network) = metadata.get(NETWORK) {
                self.check_own(&source, network)?;
            }
            return self.set_weights(&source, &tensors);
        }
        let archive = Archive::open(&source, &bytes)?;
        let described = archive.tensors.iter().map(|(name, stored)| {
            let element = stored.storage.element;
            (name.as_str(), Described { dims: &stored.dims, kind: element.name.into(), float: element.float.is_some() })
        });
        self.check_fit(&source, described.collect())?;
        self.set_weights(&source, &archive.read(self.device())?)
    }

    /// Has a script defined as much of the file's network as of this one? A file does not hold definitions, and the same parameters mean
    /// something else without.
    fn check_own(&self, source: &str, network: &str) -> Result<()> {
        let own = serde_json::to_string(&self.specs()).map_err(|e| Error::Msg(format!("load: {e}")))?;
        let (theirs, ours) = (defined(network), defined(&own));
        if theirs == ours {
            return Ok(());
        }
        Err(Error::Msg(format!(
            "load: in {source} a script has defined {theirs} layers or weights, in this network {ours}; build it with the same definitions,              or take the tensors one by one, with load_tensors and set_param"
        )))
    }

    /// Replace all parameters by `found`, whatever their number type; `source` is named in errors. Says what was rounded.
    pub fn set_weights(&self, source: &str, found: &Tensors) -> Result<Option<Rounded>> {
        let described = found.iter().map(|(name, t)| {
            let kind = format!("{:?}", t.dtype());
            (name.as_str(), Described { dims: t.dims(), kind, float: t.dtype().is_float() })
        });
        self.check_fit(source, described.collect())?;
        let (mut fitting, mut rounded) = (vec![], 0);
        for (name, var) in self.parameters() {
            check_finite(&format!("load: {source}"), name, &found[name])?;
            let (value, changed) = narrowed(&format!("load: {source}"), name, &found[name], self.dtype())?;
            rounded += changed;
            fitting.push((var, value.to_device(self.device())?));
        }
        fitting.into_iter().try_for_each(|(var, value)| var.set(&value))?;
        let to = self.dtype();
        Ok((rounded > 0).then(|| Rounded { source: source.into(), from: own_type(found.values()), to, rounded }))
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
        // PyTorch counts the batches that a normalisation has seen; nothing here hangs on it.
        let counter = |name: &str| {
            let layer = name.strip_suffix("num_batches_tracked");
            layer.is_some_and(|layer| self.parameter(&format!("{layer}running_mean")).is_some())
        };
        let mut extra: Vec<_> = found.into_keys().filter(|n| self.parameter(n).is_none() && !counter(n)).collect();
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

/// How many layers of a network in JSON a script has defined, or their weights.
fn defined(network: &str) -> usize {
    network.matches("\"own\":true").count()
}

/// Numbers of a file that the network's number type does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    pub source: String,
    pub from: DType,
    pub to: DType,
    /// How many of them.
    pub rounded: usize,
}

impl std::fmt::Display for Rounded {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { source, from, to, rounded } = self;
        let (from, to) = (from.as_str(), to.as_str());
        write!(
            f,
            "{source} holds numbers in {from}, of which {rounded} are rounded to the network's {to}: it is not the network of the file. \
             Build it with dtype: \"{from}\" to keep them"
        )
    }
}

/// The number type that holds all of `tensors`: f64 where one of them is, else f32.
fn own_type<'a>(mut tensors: impl Iterator<Item = &'a Tensor>) -> DType {
    if tensors.any(|t| t.dtype() == DType::F64) { DType::F64 } else { DType::F32 }
}

/// `tensor`, whose numbers are finite, in another type, and how many of its numbers are not the same there. One that would be
/// infinite is an error.
fn narrowed(op: &str, name: &str, tensor: &Tensor, dtype: DType) -> Result<(Tensor, usize)> {
    let value = tensor.to_dtype(dtype)?;
    // f32 holds every number of the half types, f64 every one of f32.
    if !(tensor.dtype() == DType::F64 && dtype == DType::F32) {
        return Ok((value, 0));
    }
    let numbers = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (before, after) = (numbers(tensor)?, numbers(&value)?);
    if let Some(at) = after.iter().position(|v| !v.is_finite()) {
        return Err(Error::Msg(format!(
            "{op}: `{name}` holds {:e} at element {at} of {}, beyond the largest number of f32; keep the network in f64, with \
             dtype: \"f64\"",
            before[at],
            before.len()
        )));
    }
    Ok((value, before.iter().zip(&after).filter(|(before, after)| before != after).count()))
}

/// What a file says of a tensor; known before its numbers are read.
struct Described<'a> {
    dims: &'a [usize],
    kind: String,
    float: bool,
}

/// Build the network that a weights file describes, with the file's weights, in their own type, or in `dtype`. Says what was
/// rounded.
pub fn load_model(path: &Path, dtype: Option<DType>, device: &Device) -> Result<(Sequential, Option<Rounded>)> {
    model_of(path, &read_bytes(path)?, dtype, device)
}

/// The same from a file's content; `path` is named in errors.
pub fn model_of(
    path: &Path,
    bytes: &[u8],
    dtype: Option<DType>,
    device: &Device,
) -> Result<(Sequential, Option<Rounded>)> {
    let without = || {
        Error::Msg(format!(
            "load_model: {} holds weights but no description of the network; build it with `sequential` and use \
             `model.load(path)`",
            path.display()
        ))
    };
    if pytorch::is_pytorch(path, bytes) {
        return Err(Archive::open(&path.display().to_string(), bytes).err().unwrap_or_else(without));
    }
    let (tensors, metadata) = parse_safetensors(path, bytes, device)?;
    let text = metadata.get(NETWORK).ok_or_else(without)?;
    let network: Network = serde_json::from_str(text)
        .map_err(|e| Error::Msg(format!("load_model: {}: the description of the network: {e}", path.display())))?;
    let dtype = dtype.unwrap_or_else(|| own_type(tensors.values()));
    let model = Sequential::new(&network.input, &network.layers, dtype, device, &Generator::new(0))?;
    let rounded = model.set_weights(&path.display().to_string(), &tensors)?;
    Ok((model, rounded))
}

impl Sequential {
    /// A copy with parameters of its own, in another number type, rounded where that is narrower. A number that would become
    /// infinite is an error.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        self.copied(dtype, self.device())
    }

    /// A copy with parameters of its own, on the host.
    pub fn on_host(&self) -> Result<Self> {
        self.copied(self.dtype(), &Device::Cpu)
    }

    fn copied(&self, dtype: DType, device: &Device) -> Result<Self> {
        let copy = Self::new(self.input(), &self.specs(), dtype, device, &Generator::new(0))?;
        for (name, var) in self.parameters() {
            if let Some(own) = copy.parameter(name) {
                let value = narrowed("to_dtype", name, &var.as_tensor().detach(), dtype)?.0;
                own.set(&value.to_device(device)?)?;
            }
        }
        Ok(copy.computed_in(self.precision()))
    }
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
