//! Data sets: manifests, finding and strictly reading their files, splits, batches.
//!
//! [`Dataset::load`] gives two [`Split`]s; [`Split::batches`] gives tensors. What is not exactly as the manifest says is
//! an [`enum@Error`] that names the file, what was expected and what was found.

mod batches;
mod csv;
mod error;
pub mod hub;
mod idx;
mod locate;
mod manifest;
mod read;
mod split;

pub use batches::{Batch, BatchOrder, Batches};
pub use error::{Error, Result};
pub use manifest::{Format, Manifest, PlainName, SplitFiles, Splits, is_path, names};
pub use split::Split;

use candle_core::{DType, Device};
use read::Input;
use std::path::PathBuf;

/// How to load a data set. The default: everything, f32, on the CPU, seed 0.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder given by `--data-dir`, tried before WORKBENCH_DATA and the cache.
    pub data_dir: Option<PathBuf>,
    /// Only the first so many training images.
    pub train_limit: Option<usize>,
    /// Only the first so many test images.
    pub test_limit: Option<usize>,
    /// The dtype of the images in batches: f32, f64, f16 or bf16.
    pub dtype: DType,
    /// The device of batches; the data themselves stay in main memory.
    pub device: Device,
    /// Kept by the splits ([`Split::seed`]) for the order of batches.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { data_dir: None, train_limit: None, test_limit: None, dtype: DType::F32, device: Device::Cpu, seed: 0 }
    }
}

/// A data set in memory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Dataset {
    /// The manifest's short name.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Channels, height and width of an image.
    pub shape: Vec<usize>,
    /// Labels are `0..classes`.
    pub classes: usize,
    /// Under which terms the data may be used.
    pub licence: String,
    /// What to cite.
    pub citation: String,
    /// Where it was read from: a folder, or that it is built in.
    pub source: String,
    /// What a careful reader should know, such as classes that a limit has left without images.
    pub warnings: Vec<String>,
    /// Images to train on.
    pub train: Split,
    /// Images to test on.
    pub test: Split,
}

impl Dataset {
    /// Load the data set called `name` (one of [`names`]) or described by the manifest at the path `name`.
    ///
    /// Fails unless every file is exactly what the manifest says, and if a limit is 0 or greater than its split.
    pub fn load(name: &str, options: &Options) -> Result<Self> {
        let manifest = Manifest::find(name)?;
        split::check_dtype(options.dtype)?;
        // Before any file is read: these mistakes are the quickest to report.
        let train_limit = limit(&manifest, "train", options.train_limit)?;
        let test_limit = limit(&manifest, "test", options.test_limit)?;
        let located = locate::locate(&manifest, name, options.data_dir.as_deref())?;
        let load = |split: &'static str| load_split(&manifest, split, &located.inputs, options);
        let (train, test) = (load("train")?, load("test")?);

        let (train, test) = (train.take(train_limit), test.take(test_limit));
        let warnings = [&train, &test].into_iter().filter_map(missing_warning).collect();
        Ok(Self {
            name: manifest.name.as_str().into(),
            title: manifest.title.clone(),
            shape: manifest.shape().to_vec(),
            classes: manifest.classes.get(),
            licence: manifest.licence.clone(),
            citation: manifest.citation.clone(),
            source: located.source,
            warnings,
            train,
            test,
        })
    }
}

/// How many images of `split` are wanted.
fn limit(manifest: &Manifest, split: &'static str, limit: Option<usize>) -> Result<usize> {
    let available = split_files(manifest, split).size.get();
    match limit {
        Some(limit) if limit == 0 || limit > available => {
            Err(Error::Limit { dataset: manifest.name.as_str().into(), split, limit, available })
        }
        other => Ok(other.unwrap_or(available)),
    }
}

fn split_files<'a>(manifest: &'a Manifest, split: &str) -> &'a SplitFiles {
    if split == "train" { &manifest.splits.train } else { &manifest.splits.test }
}

fn load_split(
    manifest: &Manifest,
    name: &str,
    inputs: &std::collections::BTreeMap<String, Input>,
    options: &Options,
) -> Result<Split> {
    let files = split_files(manifest, name);
    // The manifest has been checked for the keys of its format, and every file of it has been found.
    let input = |file: &Option<PlainName>| &inputs[file.as_ref().expect("a checked manifest names the file").as_str()];
    let size = files.size.get();
    let raw = match manifest.format {
        Format::Idx => idx::load(manifest, size, input(&files.images), input(&files.labels))?,
        Format::Csv => {
            let rows = manifest.rows(files.file.as_ref().map_or("", PlainName::as_str));
            csv::load(manifest, files.first_row.unwrap_or(0), size, rows, input(&files.file))?
        }
    };
    let split = Split::from_bytes(name, manifest.shape(), manifest.classes.get(), raw, manifest.scale.get(), options);
    let missing = missing_classes(&split);
    if missing.is_empty() {
        return Ok(split);
    }
    Err(Error::MissingClass {
        dataset: manifest.name.as_str().into(),
        split: name.into(),
        missing: list(&missing),
        classes: manifest.classes.get(),
    })
}

fn missing_classes(split: &Split) -> Vec<usize> {
    split.class_counts().iter().enumerate().filter(|(_, n)| **n == 0).map(|(class, _)| class).collect()
}

fn missing_warning(split: &Split) -> Option<String> {
    let missing = missing_classes(split);
    (!missing.is_empty()).then(|| {
        let (name, len) = (split.name(), split.len());
        format!(
            "the first {len} {name} images hold none of class {}; raise {name}_limit to have them all",
            list(&missing)
        )
    })
}

/// The first few of `classes`: there may be very many.
fn list(classes: &[usize]) -> String {
    const SHOWN: usize = 10;
    let mut text = classes.iter().take(SHOWN).map(usize::to_string).collect::<Vec<_>>().join(", ");
    if classes.len() > SHOWN {
        text += &format!(" and {} more", classes.len() - SHOWN);
    }
    text
}
