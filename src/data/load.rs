//! From located files to splits: the reader that the manifest's format needs, and what holds for every format.

use super::error::{Error, Result};
use super::folders::Classes;
use super::locate::Located;
use super::manifest::{Format, Manifest, PlainName};
use super::read::Input;
use super::split::Split;
use super::{Options, cifar, csv, folders, idx, split_files};

/// Loads the splits of one data set.
pub(super) struct Loader<'a> {
    manifest: &'a Manifest,
    located: &'a Located,
    options: &'a Options,
    /// `folders`: the classes as the files list them.
    classes: Option<Classes>,
}

impl<'a> Loader<'a> {
    /// For splits of which the first `wanted` images, train and test, are to be loaded.
    pub fn new(manifest: &'a Manifest, located: &'a Located, options: &'a Options, wanted: [usize; 2]) -> Result<Self> {
        let classes = manifest.class_list.as_ref().map(|list| Classes::read(&located.inputs[list.as_str()]));
        let classes = classes.transpose()?;
        if let Some(classes) = &classes {
            // An excerpt with some of the classes will do for some of the images.
            let limited = manifest.splits().iter().zip(wanted).all(|((_, split), n)| n < split.size.get());
            let (expected, found) = (manifest.classes.get(), classes.len());
            if found > expected || found < expected && !limited {
                return Err(Error::ClassList { file: classes.list().into(), expected, found });
            }
        }
        Ok(Self { manifest, located, options, classes })
    }

    /// The first `wanted` images of `name`, `train` or `test`. A split that is wanted whole has to hold every class.
    pub fn load(&self, name: &'static str, wanted: usize) -> Result<Split> {
        let (manifest, options) = (self.manifest, self.options);
        let files = split_files(manifest, name);
        let size = files.size.get();
        let raw = match manifest.format {
            Format::Idx => idx::load(manifest, size, self.input(&files.images), self.input(&files.labels))?,
            Format::Csv => {
                let rows = manifest.rows(files.file.as_ref().map_or("", PlainName::as_str));
                csv::load(manifest, files.first_row.unwrap_or(0), size, rows, self.input(&files.file))?
            }
            Format::Cifar => {
                // Only the files that are wanted have been located.
                let parts = files.files.iter().flatten().filter_map(|f| self.located.inputs.get(f.as_str()));
                cifar::load(manifest, name, &parts.collect::<Vec<_>>(), wanted)?
            }
            Format::Folders => {
                let classes = self.classes.as_ref().expect("a checked manifest names the list of classes");
                folders::load(manifest, name, &self.located.folder, classes, wanted)?
            }
        };
        let whole = raw.1.len() == size;
        let (shape, classes, scale) = (manifest.shape(), manifest.classes.get(), manifest.scale.get());
        let split = Split::from_bytes(name, shape, classes, raw, scale, options);
        let missing = missing_classes(&split, classes);
        if whole && !missing.is_empty() {
            let (dataset, split) = (manifest.name.as_str().into(), name.into());
            return Err(Error::MissingClass { dataset, split, missing: list(&missing), classes });
        }
        Ok(split.take(wanted))
    }

    /// The manifest has been checked for the keys of its format, and every file of it has been found.
    fn input(&self, file: &Option<PlainName>) -> &Input {
        &self.located.inputs[file.as_ref().expect("a checked manifest names the file").as_str()]
    }

    /// What a careful reader of the loaded `splits` should know.
    pub fn warnings(&self, splits: &[&Split]) -> Vec<String> {
        let expected = self.manifest.classes.get();
        let listed = self.classes.as_ref().map_or(expected, Classes::len);
        let excerpt = self.classes.as_ref().filter(|_| listed < expected).map(|classes| {
            format!(
                "{} names {listed} of the {expected} classes: labels count these, 0..={}, and differ from those of the \
                 whole data set",
                classes.list(),
                listed - 1
            )
        });
        let missing = splits.iter().filter_map(|split| {
            let missing = missing_classes(split, listed);
            let (name, len) = (split.name(), split.len());
            (!missing.is_empty()).then(|| {
                let missing = list(&missing);
                format!(
                    "the first {len} {name} images hold none of class {missing}; raise {name}_limit to have them all"
                )
            })
        });
        excerpt.into_iter().chain(missing).collect()
    }
}

/// Which of the first `classes` classes have no image.
fn missing_classes(split: &Split, classes: usize) -> Vec<usize> {
    let counts = split.class_counts();
    counts.iter().take(classes).enumerate().filter(|(_, n)| **n == 0).map(|(class, _)| class).collect()
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
