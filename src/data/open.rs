//! From the name of a data set to the data set.

use super::arrange::{TEST, apart, wanted};
use super::dataset::Dataset;
use super::error::{Error, Result};
use super::manifest::{Manifest, SplitFiles, Wanted};
use super::options::Options;
use super::own;
use super::source::decoded::Decoded;
use super::source::{
    loader::{self, Loader},
    locate, measure, store,
};
use super::split::{Split, check_dtype};

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
        let mut manifest = Manifest::find(name)?;
        check_dtype(options.dtype)?;
        if options.training_only {
            manifest = manifest.only_train()?;
        } else {
            options.check_pictures(manifest.name.as_str())?;
        }
        // Before any file is read: these mistakes are the quickest to report.
        options.check(manifest.name.as_str(), manifest.shape())?;
        if manifest.splits.test.is_some() {
            options.check_no_test(manifest.name.as_str())?;
        }
        check_limits(&manifest, options)?;
        let (parts, source, class_names, mut warnings) = match locate::for_use(&manifest, name, options) {
            Ok(located) => {
                let manifest = measure::measured(manifest.clone(), &located)?;
                check_limits(&manifest, options)?;
                let wanted = wanted_of(&manifest, options);
                let loader = Loader::new(&manifest, &located, options, &wanted)?;
                let here = manifest.splits().into_iter().filter(|(name, _)| !located.lacks(name));
                let load = |(name, _): (&'static str, _)| loader.load(name, wanted.of(name));
                let parts = here.map(load).collect::<Result<Vec<_>>>()?;
                let warnings = loader.warnings(&parts.iter().collect::<Vec<_>>())?;
                let (source, lacks_train) = (located.source.clone(), located.lacks_train.clone());
                (Parts::new(parts, lacks_train), source, loader.names(), warnings)
            }
            Err(nowhere @ Error::NotFound { .. }) => {
                let decoded = store::fetched(&manifest)?.ok_or(nowhere)?;
                let source = decoded[0].1.header.source.clone();
                let names = decoded[0].1.header.classes.clone();
                let made = |(name, decoded): (&'static str, Decoded)| {
                    let all = decoded.labels.len();
                    let wanted = wanted(manifest.name.as_str(), name, limit(name, options), all)?;
                    loader::checked(&manifest, name, (decoded.values, decoded.labels), options, wanted)
                };
                let parts = decoded.into_iter().map(made).collect::<Result<Vec<_>>>()?;
                let warnings = loader::warnings(manifest.classes.get(), &parts.iter().collect::<Vec<_>>());
                let names = manifest.class_names.clone().unwrap_or(names);
                (Parts::new(parts, None), source, names, warnings)
            }
            Err(other) => return Err(other),
        };
        let parts = parts.complete(&manifest, options, &mut warnings)?;
        let data = Self {
            name: manifest.name.as_str().into(),
            title: manifest.title.clone(),
            shape: manifest.shape().to_vec(),
            classes: manifest.classes.get(),
            class_names,
            licence: manifest.licence.clone(),
            citation: manifest.citation.clone(),
            normalisation: manifest.normalisation.clone(),
            source,
            warnings,
            train: parts.train,
            lacks_train: parts.lacks_train,
            validation: parts.validation,
            test: parts.test,
        };
        data.arranged(options)
    }
}

/// The splits of a data set as they were loaded.
struct Parts {
    splits: Vec<Split>,
    lacks_train: Option<String>,
}

/// The splits that every data set has.
struct Complete {
    train: Split,
    test: Split,
    validation: Option<Split>,
    lacks_train: Option<String>,
}

impl Parts {
    fn new(splits: Vec<Split>, lacks_train: Option<String>) -> Self {
        let lacks_train = lacks_train.map(|file| format!("{file} is not there"));
        Self { splits, lacks_train }
    }

    /// With a part of the training images to test on, where there are no others; without training images where there are none.
    fn complete(mut self, manifest: &Manifest, options: &Options, warnings: &mut Vec<String>) -> Result<Complete> {
        let mut take = |name: &str| {
            let at = self.splits.iter().position(|split| split.name() == name)?;
            Some(self.splits.swap_remove(at))
        };
        let (train, test, validation) = (take("train"), take("test"), take("validation"));
        if validation.is_some()
            && let Some(given) = options.validation
        {
            return Err(Error::HasValidation { dataset: manifest.name.as_str().into(), given });
        }
        let name = manifest.name.as_str();
        let (train, test, lacks_train) = match (train, test) {
            (Some(train), Some(test)) => (train, test, None),
            (Some(train), None) if options.training_only => {
                let none = Split::none("test", &train);
                (train, none, None)
            }
            (Some(train), None) => {
                let share = options.test.unwrap_or(TEST);
                let (rest, test) = train.set_apart("test", share)?;
                if options.test.is_none() {
                    warnings.push(apart(&format!("data set `{name}`"), test.len(), train.len(), options.seed));
                }
                (rest, test, None)
            }
            (None, Some(test)) => {
                let unnamed = || "its manifest names none".to_string();
                let why = self.lacks_train.unwrap_or_else(unnamed);
                warnings.push(format!("data set `{name}` is here without training images: {why}; it can be tested on"));
                (Split::none("train", &test), test, Some(why))
            }
            (None, None) => unreachable!("a checked manifest has training or test images, and one of them was loaded"),
        };
        Ok(Complete { train, test, validation, lacks_train })
    }
}

/// The limit of the split called `name`, if it has one.
fn limit(name: &str, options: &Options) -> Option<usize> {
    match name {
        "train" => options.train_limit,
        "test" => options.test_limit,
        _ => None,
    }
}

/// Refuse limits beyond splits whose size is known.
fn check_limits(manifest: &Manifest, options: &Options) -> Result<()> {
    let known = manifest.splits().into_iter().filter(|(_, split)| split.size.is_some());
    for (name, split) in known {
        wanted(manifest.name.as_str(), name, limit(name, options), split.size())?;
    }
    Ok(())
}

/// How many images of each split are wanted; of those whose size is not known all.
pub(super) fn wanted_of(manifest: &Manifest, options: &Options) -> Wanted {
    let of = |(name, split): (&'static str, &SplitFiles)| (name, limit(name, options).unwrap_or(split.size()));
    Wanted(manifest.splits().into_iter().map(of).collect())
}
