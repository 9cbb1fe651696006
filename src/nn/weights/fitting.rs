//! A file's tensors put into a network's parameters: all of them, or none.

use super::file::File;
use super::folding::{self, Entry, Value};
use super::numbers::{Rounded, check_finite, narrowed, shaped};
use super::pairing::{self, Choice, How, Pairs, Wanted};
use super::{names, refusal};
use crate::compute::variables::assign;
use crate::nn::Sequential;
use crate::nn::layers::Normalize;
use candle_core::{DType, Device, Error, Result, Tensor};

/// What is to be said of weights that were loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// What was chosen, paired or folded.
    pub said: Vec<String>,
    pub rounded: Option<Rounded>,
}

/// A file's tensors, the network's parameters, who is whose, and what is to be said of it.
pub struct Paired {
    pub entries: Vec<Entry>,
    pub wanted: Vec<Wanted>,
    pub pairs: Pairs,
    said: Vec<String>,
}

impl Sequential {
    /// Who is whose, and what is to be said of it.
    pub(super) fn paired(&self, file: &File, choice: &Choice) -> Result<Paired> {
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
        if !choice.names.is_empty() {
            let full = |e: &Entry| match &e.value {
                Value::At(at) => file.full_name(*at).to_string(),
                Value::Folded(_) => e.told.clone(),
            };
            let full: Vec<String> = entries.iter().map(full).collect();
            let theirs: Vec<_> = entries.iter().zip(&full).map(|(e, full)| (e.name.as_str(), full.as_str())).collect();
            let ours: Vec<_> = wanted.iter().map(|w| w.name.as_str()).collect();
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
        let how = match (choice.by_order, choice.names.is_empty()) {
            (true, _) => How::Shape,
            (false, true) => How::Name,
            (false, false) => How::Given,
        };
        let pairs = pairing::pair(&entries, &wanted, how, fixed.is_some()).map_err(|why| {
            let layer = |name: &str| self.title_of(name);
            refusal::refused(&file.source, &entries, &wanted, &layer, &why)
        })?;
        if pairs.told || !choice.names.is_empty() {
            said.push(self.pairs_in_words(file, &entries, &wanted, &pairs));
        }
        Ok(Paired { entries, wanted, pairs, said })
    }

    /// "conv1 -> layer 0, fc1 -> layer 3".
    fn pairs_in_words(&self, file: &File, entries: &[Entry], wanted: &[Wanted], pairs: &Pairs) -> String {
        let mut words: Vec<String> = vec![];
        for (w, e) in &pairs.of {
            let (theirs, ours) = (&entries[*e].told, names::split(&wanted[*w].name).0);
            let (module, short) = names::split(theirs);
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
    pub(super) fn take(&self, file: &mut File, choice: &Choice) -> Result<Loaded> {
        let paired = self.paired(file, choice)?;
        let rounded = self.put(file, &paired)?;
        Ok(Loaded { said: paired.said, rounded })
    }

    /// Take what is paired, all of it or nothing. Says what was rounded.
    pub(super) fn put(
        &self,
        file: &mut File,
        Paired { entries, wanted, pairs, .. }: &Paired,
    ) -> Result<Option<Rounded>> {
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
            self.check_deviation(&op, name, &read)?;
            wide |= read.dtype() == DType::F64;
            let (value, changed) = narrowed(&op, name, &read, self.dtype())?;
            rounded += changed;
            fitting.push((*w, value.to_device(self.device())?));
        }
        fitting.into_iter().try_for_each(|(w, value)| assign(&self.parameters()[w].1, &value))?;
        let (source, from, to) = (file.source.clone(), if wide { DType::F64 } else { DType::F32 }, self.dtype());
        Ok((rounded > 0).then_some(Rounded { source, from, to, rounded }))
    }

    /// A normalisation divides by its deviations.
    fn check_deviation(&self, op: &str, name: &str, value: &Tensor) -> Result<()> {
        let (path, short) = names::split(name);
        let divides =
            short == "std" && self.all_layers().iter().any(|layer| layer.path == path && layer.spec.is::<Normalize>());
        let least = || value.to_dtype(DType::F64)?.min_all()?.to_scalar::<f64>();
        if divides && least()? <= 0.0 {
            return Err(Error::Msg(format!(
                "{op}: `{name}` holds a deviation of {:e}, which must be above 0",
                least()?
            )));
        }
        Ok(())
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

impl Entry {
    fn read(&self, file: &mut File, device: &Device) -> Result<Tensor> {
        match &self.value {
            Value::At(at) => file.read(*at, device),
            Value::Folded(folded) => folded.made(file, device),
        }
    }
}
