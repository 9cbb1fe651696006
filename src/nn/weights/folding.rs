//! A batch normalisation folded into the layer before it
//!
//! ```text
//! s = weight / sqrt(running_var + eps)        W' = s W        b' = s (b - running_mean) + bias
//! ```
//!
//! of what the normalisation does when it is frozen. A file does not hold eps, which is 1e-5 where nobody has chosen another one.

use super::file::{File, Held};
use super::names::{is_number, split};
use candle_core::{DType, Device, Error, Result, Tensor};

/// A tensor of a file, or one that is made of some.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// As the file has it, whatever it is called since.
    pub told: String,
    pub dims: Vec<usize>,
    pub kind: String,
    pub is_float: bool,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    /// The tensor at this place of the file.
    At(usize),
    Folded(Folded),
}

impl Entry {
    pub fn of(at: usize, held: &Held) -> Self {
        let Held { name, dims, kind, is_float } = held.clone();
        Self { told: name.clone(), name, dims, kind, is_float, value: Value::At(at) }
    }
}

/// How they are to be folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Folding {
    pub eps: f64,
    /// Which module each normalisation goes into, where a script says so.
    pub into: Vec<(String, String)>,
}

/// A number of a layer behind which a normalisation was: the places of the tensors that it is made of.
#[derive(Clone, Debug)]
pub struct Folded {
    part: Part,
    own: Option<usize>,
    norm: Norm,
}

/// Which of the layer's two.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Weight,
    Bias,
}

#[derive(Clone, Debug)]
struct Norm {
    weight: Option<usize>,
    bias: Option<usize>,
    mean: usize,
    variance: usize,
    eps: f64,
}

/// The tensors of a file with all normalisations folded, and what is to be said of them.
pub fn fold(file: &File, by: &Folding) -> Result<(Vec<Entry>, Vec<String>)> {
    let modules = modules(&file.tensors);
    let named = |given: &str| {
        let full = |at: &usize| split(file.full_name(*at)).0 == given;
        let at = (0..file.tensors.len()).find(full);
        at.map_or(given.to_string(), |at| split(&file.tensors[at].name).0.to_string())
    };
    let by_hand: Vec<_> = by.into.iter().map(|(norm, into)| (named(norm), named(into))).collect();
    let place = |module: &str, short: &str| {
        let name = if module.is_empty() { short.to_string() } else { format!("{module}.{short}") };
        file.tensors.iter().position(|t| t.name == name)
    };
    let mut folded = vec![];
    for (at, module) in modules.iter().enumerate() {
        let (Some(mean), Some(variance)) = (place(module, "running_mean"), place(module, "running_var")) else {
            continue;
        };
        let norm = Norm { weight: place(module, "weight"), bias: place(module, "bias"), mean, variance, eps: by.eps };
        let channels = &file.tensors[mean].dims;
        let fits = |into: &str| {
            place(into, "weight")
                .is_some_and(|w| file.tensors[w].dims.len() >= 2 && file.tensors[w].dims[..1] == channels[..])
        };
        let into = match by_hand.iter().find(|(norm, _)| norm == module) {
            Some((_, into)) => Some(into.as_str()),
            None => before(&modules, at, file.is_ordered, &fits),
        };
        let Some(into) = into.filter(|into| fits(into)) else {
            return Err(Error::Msg(format!(
                "load: fold: {} has a batch normalisation `{module}` of {channels:?} that follows no convolution or linear layer of as many outputs, as far as the file tells; say which: \
                 #{{ fold: #{{ \"{module}\": \"conv1\" }} }}, or build the network with batch_norm2d()",
                file.source
            )));
        };
        folded.push((module.clone(), into.to_string(), norm));
    }
    if let Some((_, into, _)) =
        folded.iter().find(|(_, into, _)| folded.iter().filter(|(_, other, _)| other == into).count() > 1)
    {
        return Err(Error::Msg(format!(
            "load: fold: two batch normalisations of {} would be folded into `{into}`",
            file.source
        )));
    }
    if let Some((named, _)) = by_hand.iter().find(|(named, _)| !folded.iter().any(|(norm, ..)| norm == named)) {
        return Err(Error::Msg(format!("load: fold: {} has no batch normalisation `{named}`", file.source)));
    }
    let mut entries = vec![];
    for (at, held) in file.tensors.iter().enumerate() {
        let (module, short) = split(&held.name);
        if folded.iter().any(|(norm, ..)| norm == module) {
            continue;
        }
        let Some((_, _, norm)) = folded.iter().find(|(_, into, _)| into == module) else {
            entries.push(Entry::of(at, held));
            continue;
        };
        match short {
            "weight" => {
                let made = |part, own| Value::Folded(Folded { part, own, norm: norm.clone() });
                entries.push(Entry { value: made(Part::Weight, Some(at)), ..Entry::of(at, held) });
                let name = if module.is_empty() { "bias".to_string() } else { format!("{module}.bias") };
                let (told, dims, own) = (name.clone(), held.dims[..1].to_vec(), place(module, "bias"));
                entries.push(Entry { name, told, dims, value: made(Part::Bias, own), ..Entry::of(at, held) });
            }
            "bias" => {}
            _ => entries.push(Entry::of(at, held)),
        }
    }
    let pairs: Vec<_> = folded.iter().map(|(norm, into, _)| format!("{norm} into {into}")).collect();
    let said = match pairs.is_empty() {
        true => format!("{} holds no batch normalisation, nothing is folded", file.source),
        false => {
            format!("batch normalisations of {} are folded, with eps {:e}: {}", file.source, by.eps, pairs.join(", "))
        }
    };
    Ok((entries, vec![said]))
}

/// The modules in their order: by number where all have one, else as the file has them.
fn modules(tensors: &[Held]) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    for held in tensors {
        let module = split(&held.name).0;
        if !found.iter().any(|m| m == module) {
            found.push(module.to_string());
        }
    }
    if found.iter().all(|m| m.split('.').all(is_number)) {
        found.sort_by_key(|m| numbers(m));
    }
    found
}

/// "1.0.2" as numbers.
pub fn numbers(path: &str) -> Vec<usize> {
    path.split('.').map(|part| part.parse().unwrap_or(usize::MAX)).collect()
}

/// The module that a normalisation follows: by number the one right before it; by name `conv3` for `bn3`, or else the one before it, in a file
/// that has the order of the definitions, as PyTorch writes it. A normalisation that is defined before a layer does not follow it.
fn before<'a>(modules: &'a [String], at: usize, is_ordered: bool, fits: &dyn Fn(&str) -> bool) -> Option<&'a str> {
    let own = &modules[at];
    let (parent, last) = split(own);
    if is_number(last) {
        // What has no parameters may stand between, such as a ReLU: then the number is not the next one.
        let previous = last.parse::<usize>().ok()?.checked_sub(1)?.to_string();
        let previous = if parent.is_empty() { previous } else { format!("{parent}.{previous}") };
        return modules.iter().find(|m| **m == previous).map(String::as_str);
    }
    if !is_ordered {
        return None;
    }
    let digits = |name: &str| name.chars().rev().take_while(char::is_ascii_digit).collect::<String>();
    if digits(last).is_empty() {
        return modules[..at].last().map(String::as_str);
    }
    let alike = |m: &&String| split(m).0 == parent && digits(split(m).1) == digits(last);
    let mut named = modules[..at].iter().filter(|m| fits(m)).filter(alike);
    named.next().filter(|_| named.next().is_none()).map(String::as_str)
}

/// A frozen batch normalisation of each channel `[C]`; without a weight 1, without a bias 0.
pub struct Normalisation {
    pub weight: Option<Tensor>,
    pub bias: Option<Tensor>,
    pub mean: Tensor,
    pub variance: Tensor,
    pub eps: f64,
}

impl Normalisation {
    /// `s`, in f64.
    fn scale(&self) -> Result<Tensor> {
        let root = (wide(&self.variance)? + self.eps)?.sqrt()?;
        match &self.weight {
            Some(weight) => wide(weight)? / root,
            None => root.recip(),
        }
    }

    /// `W'` of the layer before it, in f64.
    pub fn weight_behind(&self, w: &Tensor) -> Result<Tensor> {
        let scale = self.scale()?;
        let shape = [&[scale.elem_count()][..], &vec![1; w.rank() - 1]].concat();
        wide(w)?.broadcast_mul(&scale.reshape(shape)?)
    }

    /// `b'` of the layer before it, in f64, whether or not that has one.
    pub fn bias_behind(&self, b: Option<&Tensor>) -> Result<Tensor> {
        let mean = wide(&self.mean)?;
        let centred = match b {
            Some(b) => (wide(b)? - mean)?,
            None => mean.neg()?,
        };
        let shifted = (centred * self.scale()?)?;
        match &self.bias {
            Some(bias) => shifted + wide(bias)?,
            None => Ok(shifted),
        }
    }
}

fn wide(t: &Tensor) -> Result<Tensor> {
    t.to_dtype(DType::F64)
}

impl Folded {
    /// Made of the numbers of the file, in f64, then as narrow as the layer's own weight, f32 at least.
    pub fn made(&self, file: &mut File, device: &Device) -> Result<Tensor> {
        let mut read = |at: Option<usize>| at.map(|at| file.read(at, &Device::Cpu)).transpose();
        let (own, weight, bias) = (read(self.own)?, read(self.norm.weight)?, read(self.norm.bias)?);
        let (mean, variance) = (file.read(self.norm.mean, &Device::Cpu)?, file.read(self.norm.variance, &Device::Cpu)?);
        let norm = Normalisation { weight, bias, mean, variance, eps: self.norm.eps };
        let made = match (self.part, &own) {
            (Part::Weight, Some(own)) => norm.weight_behind(own)?,
            (_, own) => norm.bias_behind(own.as_ref())?,
        };
        let is_wide = [self.own, Some(self.norm.mean)].into_iter().flatten().any(|at| file.tensors[at].kind == "F64");
        made.to_dtype(if is_wide { DType::F64 } else { DType::F32 })?.to_device(device)
    }
}
