//! Weights in and out: safetensors, the parameters under their names, the network's layers in the file's metadata; and
//! in from PyTorch.
//!
//! Reading is strict: every parameter present, none besides, shapes equal, all numbers finite. What is read is the file's own
//! network: parameters in f64 where one of them is, else in f32, which f16 and bf16 widen to exactly. A network of another type
//! takes the file's numbers rounded, which is said ([`Rounded`]); one that would become infinite is refused. Only a network
//! whose numbers are the file's own is certified.

mod file;
mod fitting;
mod folding;
mod names;
mod numbers;
mod pairing;
mod refusal;

pub use file::{File, Held, sets_of};
pub use fitting::Loaded;
pub use folding::{Folding, Normalisation};
pub use names::Whose;
pub use numbers::Rounded;
pub use pairing::Choice;

use super::description::{Description, KEY};
use super::layers::Word;
use super::{Sequential, pytorch};
use crate::base::random::Generator;
use crate::compute::tensor_files::{Tensors, read_bytes, write_safetensors};
use crate::compute::variables::assign;
use candle_core::{DType, Device, Error, Result, Tensor};
use numbers::{check_finite, narrowed};
use std::collections::HashMap;
use std::path::Path;

impl Sequential {
    /// Write all parameters, and the layers as metadata.
    pub fn save(&self, path: &Path) -> Result<()> {
        let network = Description::text_of(self)?;
        let tensors: Vec<_> = self.parameters().iter().map(|(n, v)| (n.clone(), v.as_tensor().detach())).collect();
        for (name, tensor) in &tensors {
            check_finite("save", name, tensor)?;
        }
        write_safetensors(path, tensors, Some(HashMap::from([(KEY.into(), network)])))
    }

    /// Replace all parameters by those of a safetensors or PyTorch file; nothing changes unless all of them fit.
    pub fn load(&self, path: &Path) -> Result<Loaded> {
        self.load_as(path, &Choice::default())
    }

    /// The same, with what is to be known of the file.
    pub fn load_as(&self, path: &Path, choice: &Choice) -> Result<Loaded> {
        let bytes = read_bytes(path)?;
        let mut file = File::open(path, &bytes, choice.take.as_deref())?;
        self.check_described(&file)?;
        self.take(&mut file, choice)
    }

    /// Which of a file's tensors become which parameters, in words; they are taken, or it is an error where it does not fit.
    pub fn fit(&self, path: &Path, bytes: &[u8], choice: &Choice) -> Result<Vec<String>> {
        let mut file = File::open(path, bytes, choice.take.as_deref())?;
        self.check_described(&file)?;
        let paired = self.paired(&file, choice)?;
        self.put(&mut file, &paired)?;
        let one = |(w, e): &(usize, usize)| format!("{} -> {}", paired.entries[*e].told, paired.wanted[*w].name);
        Ok(paired.pairs.of.iter().map(one).collect())
    }

    /// Is the network that one of our files describes this one, as far as its tensors do not say it? A file does not hold what a script has
    /// defined, and the same parameters mean something else without, or behind another normalisation.
    fn check_described(&self, file: &File) -> Result<()> {
        let Some(theirs) = file.description() else { return Ok(()) };
        let (source, ours) = (&file.source, Description::text_of(self)?);
        let (own, other) = (defined(theirs), defined(&ours));
        if own != other {
            return Err(Error::Msg(format!(
                "load: in {source} a script has defined {own} layers or weights, in this network {other}; build it with the same \
                 definitions, or take the tensors one by one, with load_tensors and set_param"
            )));
        }
        let (theirs, ours) = (normalisations(theirs), normalisations(&ours));
        if theirs.is_empty() || theirs == ours {
            return Ok(());
        }
        let written = |all: &[Normal]| match all {
            [] => "none".to_string(),
            all => all.iter().map(|(mean, std)| format!("normalize({mean:?}, {std:?})")).collect::<Vec<_>>().join(", "),
        };
        Err(Error::Msg(format!(
            "load: {source} was saved by a network whose images are normalised by {}, this one has {}; write the file's numbers",
            written(&theirs),
            written(&ours)
        )))
    }

    /// Replace all parameters by `found`, whatever their number type; `source` is named in errors. Says what was rounded.
    pub fn set_weights(&self, source: &str, found: &Tensors) -> Result<Option<Rounded>> {
        Ok(self.take(&mut File::given(source, found), &Choice::default())?.rounded)
    }
}

impl Sequential {
    /// Write all parameters as PyTorch saves a state_dict, to be loaded there without running anything. `names` maps a layer's path or a
    /// parameter to what it is called there; others keep their names.
    pub fn export_state_dict(&self, path: &Path, names: &[(String, String)]) -> Result<()> {
        if let Some(layer) =
            self.all_layers().into_iter().find(|layer| layer.spec.has(Word::Weight) || layer.spec.has(Word::Made))
        {
            return Err(Error::Msg(format!(
                "export: the weight of {} is made of its parameter by a function, which a state_dict does not hold; export to .onnx, which has the \
                 weight that it makes",
                layer.title()
            )));
        }
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

/// Mean and deviation.
type Normal = (Vec<f64>, Vec<f64>);

/// Mean and deviation of the normalisations with numbers of their own in a network in JSON, in their order.
fn normalisations(network: &str) -> Vec<Normal> {
    fn walk(value: &serde_json::Value, found: &mut Vec<Normal>) {
        let numbers =
            |key: &str| value.get(key)?.as_array()?.iter().map(serde_json::Value::as_f64).collect::<Option<Vec<_>>>();
        if value.get("kind").and_then(|kind| kind.as_str()) == Some("normalize")
            && let (Some(mean), Some(std)) = (numbers("mean"), numbers("std"))
            && !mean.is_empty()
        {
            found.push((mean, std));
        }
        match value {
            serde_json::Value::Array(all) => all.iter().for_each(|value| walk(value, found)),
            serde_json::Value::Object(all) => all.values().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut found = vec![];
    if let Ok(value) = serde_json::from_str(network) {
        walk(&value, &mut found);
    }
    found
}

/// How many layers of a network in JSON a script has defined, or their weights.
fn defined(network: &str) -> usize {
    network.matches("\"own\":true").count()
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
    let mut file = File::open(path, bytes, None)?;
    let text = file.description().ok_or_else(without)?;
    let network: Description = serde_json::from_str(text)
        .map_err(|e| Error::Msg(format!("load_model: {}: the description of the network: {e}", path.display())))?;
    let dtype = dtype.unwrap_or(file.dtype());
    let model = Sequential::new(&network.input, &network.layers, dtype, device, &Generator::new(0))?;
    let rounded = model.take(&mut file, &Choice::default())?.rounded;
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
                assign(own, &value.to_device(device)?)?;
            }
        }
        Ok(copy.computed_in(self.precision()))
    }
}
