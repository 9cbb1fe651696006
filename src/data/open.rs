//! From the name of a data set to the data set.

use super::arrange::wanted;
use super::dataset::Dataset;
use super::error::{Error, Result};
use super::manifest::Manifest;
use super::options::Options;
use super::own;
use super::source::{
    loader::{self, Loader},
    locate, store,
};
use super::split::check_dtype;
use super::values::Values;

impl Dataset {
    /// Load the data set called `name` (one of [`crate::data::names`]), or described by the manifest at the path `name`, or whose pictures
    /// are in the folder at the path `name`, in a folder for each class.
    ///
    /// Fails unless every file that holds wanted images is exactly what the manifest says, and if a limit is 0 or greater
    /// than its split.
    pub fn load(name: &str, options: &Options) -> Result<Self> {
        if own::is_folder(name) {
            return own::load(name, options);
        }
        let manifest = Manifest::find(name)?;
        check_dtype(options.dtype)?;
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
                let made = |name, decoded: (Values, Vec<u32>), wanted| {
                    loader::checked(&manifest, name, decoded, options, wanted)
                };
                let train = made("train", (train.values, train.labels), train_limit)?;
                let test = made("test", (test.values, test.labels), test_limit)?;
                let warnings = loader::warnings(manifest.classes.get(), &[&train, &test]);
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
    wanted(manifest.name.as_str(), split, limit, manifest.split(split).size.get())
}
