//! Data sets: manifests, finding and strictly reading their files, splits, batches, augmentation.
//!
//! [`Dataset::load`] gives two [`Split`]s; [`Split::batches`] gives tensors. What is not exactly as the manifest says is
//! an [`enum@Error`] that names the file, what was expected and what was found.

mod ahead;
mod archive;
mod arrange;
mod arrays;
mod augment;
mod batches;
mod built_in;
mod check;
mod cifar;
mod csv;
mod decoded;
mod digest;
mod error;
pub mod fetch;
mod file_error;
mod folders;
pub mod hub;
mod hub_problem;
mod idx;
mod load;
mod locate;
mod manifest;
mod manifest_keys;
mod npy;
mod own;
mod pad;
mod parquet;
mod picture;
mod read;
mod resident;
mod rotate;
mod select;
pub mod sheet;
mod split;
mod store;

pub use arrays::{Arrays, labels};
pub use augment::Augmentation;
pub use batches::{Batch, BatchOrder, Batches};
pub use built_in::names;
pub use digest::{of_bytes as sha256, of_content as digest_of};
pub use error::{Error, Result};
pub use file_error::FileError;
pub use manifest::{Format, Manifest, Normalisation, PlainName, SplitFiles, Splits, is_path};
pub use select::Share;
pub use split::Split;

use candle_core::{DType, Device};
use load::Loader;
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
    /// Kept by the splits ([`Split::seed`]) for the order of batches and the augmentation.
    pub seed: u64,
    /// What is done to training images in augmented passes ([`Batches::augmented`]).
    pub augmentation: Augmentation,
    /// Zeros on each side of every image, of the test images too.
    pub pad: usize,
    /// Only the first so many training images of each class, of those that `train_limit` leaves.
    pub per_class: Option<usize>,
    /// Training images to be set apart for validation, of those that are left.
    pub validation: Option<Share>,
    /// Images of a folder without test images to be set apart to test on; a fifth without it.
    pub test: Option<Share>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: None,
            train_limit: None,
            test_limit: None,
            dtype: DType::F32,
            device: Device::Cpu,
            seed: 0,
            augmentation: Augmentation::default(),
            pad: 0,
            per_class: None,
            validation: None,
            test: None,
        }
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
    /// Channels, height and width of an image in batches.
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
    /// Mean and standard deviation of each channel over the training images, where the manifest names them.
    pub normalisation: Option<Normalisation>,
    /// Images to train on.
    pub train: Split,
    /// Images set apart from those to train on, if [`Options::validation`] asks for some.
    pub validation: Option<Split>,
    /// Images to test on.
    pub test: Split,
}

impl Dataset {
    /// Load the data set called `name` (one of [`names`]), or described by the manifest at the path `name`, or whose pictures
    /// are in the folder at the path `name`, in a folder for each class.
    ///
    /// Fails unless every file that holds wanted images is exactly what the manifest says, and if a limit is 0 or greater
    /// than its split.
    pub fn load(name: &str, options: &Options) -> Result<Self> {
        if own::is_folder(name) {
            return own::load(name, options);
        }
        let manifest = Manifest::find(name)?;
        split::check_dtype(options.dtype)?;
        // Before any file is read: these mistakes are the quickest to report.
        options.check(manifest.name.as_str(), manifest.shape())?;
        options.check_no_test(manifest.name.as_str())?;
        let train_limit = limit(&manifest, "train", options.train_limit)?;
        let test_limit = limit(&manifest, "test", options.test_limit)?;
        let files = manifest.files(train_limit, test_limit);
        let (train, test, source, warnings) = match locate::locate(&manifest, &files, name, options.data_dir.as_deref())
        {
            Ok(located) => {
                let loader = Loader::new(&manifest, &located, options, [train_limit, test_limit])?;
                let (train, test) = (loader.load("train", train_limit)?, loader.load("test", test_limit)?);
                let warnings = loader.warnings(&[&train, &test]);
                (train, test, located.source, warnings)
            }
            Err(nowhere @ Error::NotFound { .. }) => {
                let [train, test] = store::fetched(&manifest)?.ok_or(nowhere)?;
                let source = train.header.source;
                let made = |name, decoded: (decoded::Values, Vec<u32>), wanted| {
                    load::checked(&manifest, name, decoded, options, wanted)
                };
                let train = made("train", (train.values, train.labels), train_limit)?;
                let test = made("test", (test.values, test.labels), test_limit)?;
                let warnings = load::warnings(manifest.classes.get(), &[&train, &test]);
                (train, test, source, warnings)
            }
            Err(other) => return Err(other),
        };
        let data = Self {
            name: manifest.name.as_str().into(),
            title: manifest.title.clone(),
            shape: manifest.shape().to_vec(),
            classes: manifest.classes.get(),
            licence: manifest.licence.clone(),
            citation: manifest.citation.clone(),
            normalisation: manifest.normalisation.clone(),
            source,
            warnings,
            train,
            validation: None,
            test,
        };
        data.arranged(options)
    }
}

/// How many images of `split` are wanted.
fn limit(manifest: &Manifest, split: &'static str, limit: Option<usize>) -> Result<usize> {
    arrange::wanted(manifest.name.as_str(), split, limit, split_files(manifest, split).size.get())
}

fn split_files<'a>(manifest: &'a Manifest, split: &str) -> &'a SplitFiles {
    if split == "train" { &manifest.splits.train } else { &manifest.splits.test }
}
