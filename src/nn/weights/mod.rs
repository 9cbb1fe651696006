//! Weights in and out: safetensors, the parameters under their names, the network's layers in the file's metadata; and
//! in from PyTorch.
//!
//! Reading is strict: every parameter present, none besides, shapes equal, all numbers finite. What is read is the file's own
//! network: parameters in f64 where one of them is, else in f32, which f16 and bf16 widen to exactly. A network of another type
//! takes the file's numbers rounded, which is said ([`Rounded`]); one that would become infinite is refused. Only a network
//! whose numbers are the file's own is certified.

mod file;
mod folding;
mod names;
mod pairing;
mod refusal;

pub use file::{File, Held, sets_of};
pub use folding::Folding;
pub use names::Whose;
pub use pairing::Choice;

use super::layers::Normalize;
use super::{LayerSpec, Sequential, pytorch};
use crate::base::random::Generator;
use crate::compute::tensor_files::{Tensors, parse_safetensors, read_bytes, write_safetensors};
use candle_core::{DType, Device, Error, Result, Tensor};
use file::NETWORK;
use folding::{Entry, Value};
use pairing::{Pairs, Wanted};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

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
    pub fn load(&self, path: &Path) -> Result<Loaded> {
        self.load_as(path, &Choice::default())
    }

    /// The same, with what is to be known of the file.
    pub fn load_as(&self, path: &Path, choice: &Choice) -> Result<Loaded> {
        let bytes = read_bytes(path)?;
        let mut file = File::open(path, &bytes, choice.take.as_deref())?;
        if let Some(network) = file.metadata.get(NETWORK) {
            self.check_own(&file.source, network)?;
        }
        self.take(&mut file, choice)
    }

    /// Which of a file's tensors would be which parameter, in words; an error where it does not fit.
    pub fn fit(&self, path: &Path, bytes: &[u8], choice: &Choice) -> Result<Vec<String>> {
        let file = File::open(path, bytes, choice.take.as_deref())?;
        let (entries, wanted, pairs, _) = self.paired(&file, choice)?;
        let one = |(w, e): &(usize, usize)| format!("{} -> {}", entries[*e].name, wanted[*w].name);
        Ok(pairs.of.iter().map(one).collect())
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
        Ok(self.take(&mut File::given(source, found), &Choice::default())?.rounded)
    }

    /// Who is whose, and what is to be said of it.
    fn paired(&self, file: &File, choice: &Choice) -> Result<(Vec<Entry>, Vec<Wanted>, Pairs, Vec<String>)> {
        let mut said = file.said.clone();
        let mut entries: Vec<_> = match &choice.fold {
            None => file.tensors.iter().enumerate().map(|(at, held)| Entry::of(at, held)).collect(),
            Some(by) => {
                let (entries, told) = folding::fold(file, by)?;
                said.extend(told);
                entries
            }
        };
        let wanted: Vec<_> = self
            .parameters()
            .iter()
            .map(|(name, var)| Wanted { name: name.clone(), dims: var.dims().to_vec() })
            .collect();
        let theirs: Vec<String> = entries.iter().map(|e| e.name.clone()).collect();
        if !choice.names.is_empty() {
            let (theirs, ours): (Vec<_>, Vec<_>) =
                (theirs.iter().map(String::as_str).collect(), wanted.iter().map(|w| w.name.as_str()).collect());
            let own = names::renamed(&file.source, &theirs, &choice.names, &ours)?;
            entries = entries.into_iter().zip(own).filter_map(|(e, name)| Some(Entry { name: name?, ..e })).collect();
            if let Some(twice) = entries.iter().find(|e| entries.iter().filter(|o| o.name == e.name).count() > 1) {
                return Err(Error::Msg(format!(
                    "load: names: two tensors of {} would be `{}`",
                    file.source, twice.name
                )));
            }
        }
        let fixed = self.fixed_normalisation();
        let pairs = pairing::pair(&entries, &wanted, choice.by_order, fixed.is_some()).map_err(|why| {
            let layer = |name: &str| self.title_of(name);
            refusal::refused(&file.source, &entries, &wanted, &layer, &why)
        })?;
        if pairs.told || !choice.names.is_empty() {
            said.push(self.pairs_in_words(file, &entries, &wanted, &pairs));
        }
        Ok((entries, wanted, pairs, said))
    }

    /// "conv1 -> layer 0, fc1 -> layer 3".
    fn pairs_in_words(&self, file: &File, entries: &[Entry], wanted: &[Wanted], pairs: &Pairs) -> String {
        let own = |e: &Entry| match &e.value {
            Value::At(at) => file.tensors[*at].name.clone(),
            Value::Folded(_) => e.name.clone(),
        };
        let mut words: Vec<String> = vec![];
        for (w, e) in &pairs.of {
            let (theirs, ours) = (own(&entries[*e]), names::split(&wanted[*w].name).0);
            let (module, short) = names::split(&theirs);
            let word = format!("{} -> {ours}", if module.is_empty() { short } else { module });
            if !words.contains(&word) {
                words.push(word);
            }
        }
        format!("{}, its layers -> ours: {}", file.source, words.join(", "))
    }

    /// The layer whose parameter this is, as it was written.
    fn title_of(&self, parameter: &str) -> String {
        let path = names::split(parameter).0;
        let found = self.all_layers().into_iter().find(|layer| layer.path == path).map(|layer| layer.spec.describe());
        found
            .or_else(|| self.specs().get(path.split('.').next()?.parse::<usize>().ok()?).map(|spec| spec.describe()))
            .unwrap_or_default()
    }

    /// The only normalisation whose mean and deviation are the network's own.
    fn fixed_normalisation(&self) -> Option<Normalize> {
        let specs = self.specs();
        let mut found = specs.iter().filter_map(|spec| spec.get::<Normalize>()).filter(|n| !n.mean.is_empty());
        found.next().filter(|_| found.next().is_none()).cloned()
    }

    /// Take all that fits from a file.
    fn take(&self, file: &mut File, choice: &Choice) -> Result<Loaded> {
        let (entries, wanted, pairs, said) = self.paired(file, choice)?;
        let op = format!("load: {}", file.source);
        if let (Some((mean, std)), Some(fixed)) = (pairs.fixed, self.fixed_normalisation()) {
            self.check_normalisation(file, [(&entries[mean], &fixed.mean), (&entries[std], &fixed.std)])?;
        }
        let (mut fitting, mut rounded, mut wide) = (vec![], 0, false);
        for (w, e) in &pairs.of {
            let (name, dims, entry) = (&wanted[*w].name, &wanted[*w].dims, &entries[*e]);
            if !entry.is_float {
                return Err(Error::Msg(format!(
                    "{op} does not fit the network: `{}` is {}, no float",
                    entry.name, entry.kind
                )));
            }
            let read = entry.read(file, self.device())?;
            let read = shaped(&op, &entry.name, &read, dims)?;
            check_finite(&op, name, &read)?;
            wide |= read.dtype() == DType::F64;
            let (value, changed) = narrowed(&op, name, &read, self.dtype())?;
            rounded += changed;
            fitting.push((*w, value.to_device(self.device())?));
        }
        fitting.into_iter().try_for_each(|(w, value)| self.parameters()[w].1.set(&value))?;
        let (source, from, to) = (file.source.clone(), if wide { DType::F64 } else { DType::F32 }, self.dtype());
        Ok(Loaded { said, rounded: (rounded > 0).then_some(Rounded { source, from, to, rounded }) })
    }

    /// A file that holds a normalisation's numbers was trained with these.
    fn check_normalisation(&self, file: &mut File, sides: [(&Entry, &Vec<f64>); 2]) -> Result<()> {
        let mut found = vec![];
        for (entry, ours) in sides {
            let read = entry.read(file, &Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
            let theirs = if read.len() == 1 { vec![read[0]; ours.len()] } else { read };
            found.push((theirs, ours));
        }
        let near = |a: &f64, b: &f64| (a - b).abs() <= 1e-5 * a.abs().max(b.abs());
        if found.iter().all(|(a, b)| a.len() == b.len() && a.iter().zip(*b).all(|(a, b)| near(a, b))) {
            return Ok(());
        }
        Err(Error::Msg(format!(
            "load: {} was trained with normalize({:?}, {:?}), the network has normalize({:?}, {:?}); write the file's, or normalize(), \
             which takes them from it",
            file.source, found[0].0, found[1].0, found[0].1, found[1].1
        )))
    }
}

impl Sequential {
    /// Write all parameters as PyTorch saves a state_dict, to be loaded there without running anything. `names` maps a layer's path or a
    /// parameter to what it is called there; others keep their names.
    pub fn export_state_dict(&self, path: &Path, names: &[(String, String)]) -> Result<()> {
        let mut tensors: Vec<(String, Tensor)> = vec![];
        let mut used = vec![false; names.len()];
        for (name, var) in self.parameters() {
            let (layer, short) = names::split(name);
            let at = names
                .iter()
                .position(|(own, _)| own == name)
                .or_else(|| names.iter().position(|(own, _)| own == layer));
            let theirs = match at.map(|at| (at, &names[at])) {
                Some((at, (own, theirs))) => {
                    used[at] = true;
                    if own == name { theirs.clone() } else { format!("{theirs}.{short}") }
                }
                None => name.clone(),
            };
            if tensors.iter().any(|(other, _)| *other == theirs) {
                return Err(Error::Msg(format!("export: names: two parameters would be `{theirs}`")));
            }
            check_finite("export", name, var.as_tensor())?;
            tensors.push((theirs, var.as_tensor().detach().to_device(&Device::Cpu)?));
        }
        if let Some(at) = used.iter().position(|used| !used) {
            return Err(Error::Msg(format!("export: names: the network has no layer or parameter `{}`", names[at].0)));
        }
        pytorch::save(path, &tensors)
    }
}

impl Entry {
    fn read(&self, file: &mut File, device: &Device) -> Result<Tensor> {
        match &self.value {
            Value::At(at) => file.read(*at, device),
            Value::Folded(folded) => folded.made(file, device),
        }
    }
}

/// The tensor in the shape that is wanted: a mean or deviation may have axes of length 1 besides, or be one number for all channels.
fn shaped(op: &str, name: &str, t: &Tensor, dims: &[usize]) -> Result<Tensor> {
    if t.dims() == dims {
        return Ok(t.clone());
    }
    match names::split(name).1 {
        "mean" | "std" if t.elem_count() == 1 => t.reshape(vec![1; dims.len()])?.broadcast_as(dims)?.contiguous(),
        "mean" | "std" if t.dims().iter().filter(|n| **n != 1).eq(dims.iter().filter(|n| **n != 1)) => t.reshape(dims),
        _ => Err(Error::Msg(format!(
            "{op} does not fit the network: `{name}` is {:?}, the network wants {dims:?}",
            t.dims()
        ))),
    }
}

/// What is to be said of weights that were loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// What was chosen, paired or folded.
    pub said: Vec<String>,
    pub rounded: Option<Rounded>,
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

/// All tensors of a file under the names that they have there, and what is to be said of which were taken.
pub fn read_all(path: &Path, bytes: &[u8], take: Option<&str>, device: &Device) -> Result<(Tensors, Vec<String>)> {
    let mut file = File::open(path, bytes, take)?;
    let count = file.tensors.len();
    let one = |at| Ok((file.full_name(at).to_string(), file.read(at, device)?));
    let found = (0..count).map(one).collect::<Result<_>>()?;
    Ok((found, file.said))
}

/// Build the network that the content of a weights file describes, with the file's weights, in their own type, or in `dtype`. Says what was
/// rounded; `path` is named in errors.
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
    let file = File::open(path, bytes, None)?;
    let text = file.metadata.get(NETWORK).ok_or_else(without)?;
    let (tensors, _) = parse_safetensors(path, bytes, device)?;
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
