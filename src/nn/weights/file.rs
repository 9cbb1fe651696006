//! A file of weights, whatever its format: names, shapes and types of its tensors; numbers when they are asked for.

use super::names;
use crate::compute::tensor_files::{Tensors, header_of, read_npz};
use crate::nn::description::KEY;
use crate::nn::pytorch::{self, Archive, Described, Dictionary};
use candle_core::safetensors::Load;
use candle_core::{DType, Device, Error, Result, Tensor};
use safetensors::SafeTensors;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// Keys under which training programs keep the weights; they decide where a file has several dictionaries of tensors.
const USUAL_KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];
/// What keys of averaged weights hold.
const AVERAGED: [&str; 4] = ["ema", "swa", "avg", "shadow"];

/// A file, its tensors described and not yet read.
pub struct File<'a> {
    pub source: String,
    /// Of safetensors.
    metadata: HashMap<String, String>,
    /// In the order of the file.
    pub tensors: Vec<Held>,
    /// What was chosen that the file leaves open.
    pub said: Vec<String>,
    /// Are they in the order in which a program has defined them?
    pub is_ordered: bool,
    numbers: Numbers<'a>,
}

/// One tensor of a file.
#[derive(Clone, Debug)]
pub struct Held {
    /// Without what programs put before all names: `module.`, `_orig_mod.`.
    pub name: String,
    pub dims: Vec<usize>,
    /// The type of its numbers, "F32".
    pub kind: String,
    pub is_float: bool,
}

enum Numbers<'a> {
    PyTorch(Box<Archive<'a>>, Vec<(String, Described)>),
    /// Names as they stand in the file, each with that of the tensor that holds its numbers.
    Safetensors(SafeTensors<'a>, Vec<(String, String)>),
    Given(Cow<'a, Tensors>, Vec<String>),
}

impl<'a> File<'a> {
    /// The content of a file. `take` names one of several dictionaries of tensors.
    pub fn open(path: &Path, bytes: &'a [u8], take: Option<&str>) -> Result<Self> {
        let source = path.display().to_string();
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx")) {
            return Err(Error::Msg(format!("load: {source} is a whole network in ONNX; load_model(path) takes it")));
        }
        if is_npz(path) {
            no_set(&source, take)?;
            let found = read_npz(path, &Device::Cpu)?.into_iter().collect();
            return Ok(Self::of(&source, Cow::Owned(found), true));
        }
        if pytorch::is_pytorch(path, bytes) {
            let archive = Archive::open(&source, bytes)?;
            let (at, said) = chosen(&source, &archive.dictionaries, take)?;
            let tensors = archive.dictionaries[at].tensors.clone();
            let all =
                tensors.iter().map(|(name, t)| (name.clone(), t.dims().to_vec(), t.kind().into(), t.float().is_some()));
            let (all, metadata) = (all.collect(), HashMap::new());
            let numbers = Numbers::PyTorch(Box::new(archive), tensors);
            return Ok(Self { tensors: held(all, true), source, metadata, said, is_ordered: true, numbers });
        }
        no_set(&source, take)?;
        let (found, metadata) = header_of(path, bytes)?;
        let mut whole: Vec<_> = found.tensors().into_iter().map(|(name, view)| (name, view.data().as_ptr())).collect();
        whole.sort_by_key(|(_, at)| *at);
        let mut names: Vec<_> = whole.into_iter().map(|(name, _)| (name.clone(), name)).collect();
        // Of tied tensors a file may hold one, and say in its metadata whose it is too.
        let is_held = |wanted: &String| names.iter().any(|(name, _)| name == wanted);
        let tied = metadata.iter().filter(|(name, held)| !is_held(name) && is_held(held));
        let mut tied: Vec<_> = tied.map(|(name, held)| (name.clone(), held.clone())).collect();
        tied.sort();
        names.extend(tied);
        let mut all = vec![];
        for (name, held) in &names {
            let view = found.tensor(held).map_err(|e| Error::Msg(format!("load: {source}: `{name}`: {e}")))?;
            let kind = format!("{:?}", view.dtype());
            let is_float = kind.starts_with('F') || kind == "BF16";
            all.push((name.clone(), view.shape().to_vec(), kind, is_float));
        }
        // What this program has written is called as it should be.
        let tensors = held(all, !metadata.contains_key(KEY));
        Ok(Self {
            tensors,
            source,
            metadata,
            said: vec![],
            is_ordered: false,
            numbers: Numbers::Safetensors(found, names),
        })
    }

    /// Tensors that are at hand.
    pub fn given(source: &str, found: &'a Tensors) -> Self {
        Self::of(source, Cow::Borrowed(found), false)
    }

    fn of(source: &str, found: Cow<'a, Tensors>, stripped: bool) -> Self {
        let mut names: Vec<_> = found.keys().cloned().collect();
        names.sort();
        let one = |name: &String| {
            let t = &found[name];
            (name.clone(), t.dims().to_vec(), format!("{:?}", t.dtype()), t.dtype().is_float())
        };
        let tensors = held(names.iter().map(one).collect(), stripped);
        let (metadata, numbers) = (HashMap::new(), Numbers::Given(found, names));
        Self { source: source.into(), metadata, tensors, said: vec![], is_ordered: false, numbers }
    }

    /// The numbers of the tensor at this place of the list.
    pub fn read(&mut self, at: usize, device: &Device) -> Result<Tensor> {
        match &mut self.numbers {
            Numbers::PyTorch(archive, tensors) => archive.read(&tensors[at].0, &tensors[at].1, device),
            Numbers::Safetensors(found, names) => {
                let (name, held) = &names[at];
                let wrong = |e: &dyn std::fmt::Display| Error::Msg(format!("load: {}: `{name}`: {e}", self.source));
                found.tensor(held).map_err(|e| wrong(&e))?.load(device).map_err(|e| wrong(&e))
            }
            Numbers::Given(found, names) => found[&names[at]].to_device(device),
        }
    }

    /// What a file of ours says of its network.
    pub fn description(&self) -> Option<&str> {
        self.metadata.get(KEY).map(String::as_str)
    }

    /// The number type that holds all of its numbers: f64 where a tensor is, else f32.
    pub fn dtype(&self) -> DType {
        if self.tensors.iter().any(|t| t.kind == "F64") { DType::F64 } else { DType::F32 }
    }

    /// The name of the tensor at this place as it stands in the file.
    pub fn full_name(&self, at: usize) -> &str {
        match &self.numbers {
            Numbers::PyTorch(_, tensors) => &tensors[at].0,
            Numbers::Safetensors(_, names) => &names[at].0,
            Numbers::Given(_, names) => &names[at],
        }
    }
}

/// NumPy's archive, told by its name: PyTorch's is a zip archive too.
fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"))
}

/// Of a format that holds one set of tensors none can be chosen.
fn no_set(source: &str, take: Option<&str>) -> Result<()> {
    match take {
        None => Ok(()),
        Some(take) => Err(Error::Msg(format!("load: {source} holds one set of tensors, there is no `{take}` to take"))),
    }
}

/// The sets of tensors in a file, by the keys under which they stand; one without a key where there is one.
pub fn sets_of(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    if is_npz(path) || !pytorch::is_pytorch(path, bytes) {
        return Ok(vec![String::new()]);
    }
    let archive = Archive::open(&path.display().to_string(), bytes)?;
    Ok(archive.dictionaries.into_iter().map(|dictionary| dictionary.key).collect())
}

fn held(all: Vec<(String, Vec<usize>, String, bool)>, stripped: bool) -> Vec<Held> {
    let names: Vec<&str> = all.iter().map(|(name, ..)| name.as_str()).collect();
    let names = if stripped { names::without_wrappers(&names) } else { names.iter().map(|n| n.to_string()).collect() };
    let one = |(name, (_, dims, kind, is_float))| Held { name, dims, kind, is_float };
    names.into_iter().zip(all).map(one).collect()
}

/// Which of several dictionaries is meant, and what is to be said of it.
fn chosen(source: &str, all: &[Dictionary], take: Option<&str>) -> Result<(usize, Vec<String>)> {
    let listed = || {
        let key = |d: &Dictionary| {
            if d.key.is_empty() { "the whole".into() } else { format!("`{}` ({} tensors)", d.key, d.tensors.len()) }
        };
        let more = if all.len() > 8 { format!(" and {} more", all.len() - 8) } else { String::new() };
        all.iter().take(8).map(key).collect::<Vec<_>>().join(", ") + more.as_str()
    };
    if let Some(take) = take {
        let found = all.iter().position(|d| d.key == take);
        return found.map(|at| (at, vec![])).ok_or_else(|| {
            Error::Msg(format!("load: {source} holds no `{take}`; of dictionaries of tensors it holds {}", listed()))
        });
    }
    let only = |fits: &dyn Fn(&str) -> bool| {
        let mut fitting = all.iter().enumerate().filter(|(_, d)| fits(&d.key));
        fitting.next().filter(|_| fitting.next().is_none()).map(|(at, _)| at)
    };
    let averaged = |key: &str| key.to_lowercase().split(['.', '_', '[']).any(|part| AVERAGED.contains(&part));
    let found =
        only(&|_| true).or_else(|| only(&|key| USUAL_KEYS.contains(&key))).or_else(|| only(&|key| !averaged(key)));
    let Some(at) = found else {
        return Err(Error::Msg(format!(
            "load: {source} holds {} dictionaries of tensors: {}; say which: model.load(path, #{{ take: \"{}\" }})",
            all.len(),
            listed(),
            all[0].key
        )));
    };
    let said = match all {
        [_] => vec![],
        _ => vec![format!(
            "`{}` of {source} is taken; it holds {}: #{{ take: \"...\" }} takes another",
            all[at].key,
            listed()
        )],
    };
    Ok((at, said))
}
