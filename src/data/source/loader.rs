//! From located files to splits: the reader that the manifest's format needs, and what holds for every format.
//!
//! A limit takes the first images of a fixed order, and asks only for the files that hold them; without a limit
//! everything has to be there. A file that is read has to be one of the right kind up to its end.

use super::locate::Located;
use super::store;
use crate::data::Options;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::formats::folders::Classes;
use crate::data::formats::npy::Images;
use crate::data::formats::{Raw, transposed};
use crate::data::formats::{cifar, csv, folders, idx, npy, parquet};
use crate::data::manifest::{Format, Manifest, PlainName, SplitFiles, Wanted};
use crate::data::read::Input;
use crate::data::split::Split;
use crate::data::split::classes::{list, missing_classes};
use crate::data::values::Values;
use candle_core::{DType, Device, Tensor};
use std::path::Path;

/// Loads the splits of one data set.
pub(in crate::data) struct Loader<'a> {
    manifest: &'a Manifest,
    located: &'a Located,
    options: &'a Options,
    /// `folders`: the classes as the files list them.
    classes: Option<Classes>,
    /// What the classes are called, where that is known.
    names: Vec<String>,
}

impl<'a> Loader<'a> {
    /// For splits of which the first `wanted` images, train and test, are to be loaded.
    pub fn new(manifest: &'a Manifest, located: &'a Located, options: &'a Options, wanted: &Wanted) -> Result<Self> {
        let classes = manifest.class_list.as_ref().map(|list| Classes::read(&located.inputs[list.as_str()]));
        let classes = classes.transpose()?;
        if let Some(classes) = &classes {
            // An excerpt with some of the classes will do for some of the images.
            let limited = manifest.splits().iter().all(|(name, split)| wanted.of(name) < split.size());
            let (expected, found) = (manifest.classes.get(), classes.len());
            if found > expected || found < expected && !limited {
                return Err(Error::ClassList { file: classes.list().into(), expected, found });
            }
        }
        let mut names = classes.as_ref().map_or(vec![], |c| c.names().to_vec());
        if let Some(given) = &manifest.class_names {
            names = given.clone();
        }
        let mut own = Self { manifest, located, options, classes, names };
        if own.names.is_empty() && manifest.format == Format::Parquet {
            own.names = own.named_labels()?;
        }
        Ok(own)
    }

    /// The first `wanted` images of `name`, `train` or `test`. A split that is wanted whole has to hold every class.
    pub fn load(&self, name: &'static str, wanted: usize) -> Result<Split> {
        let manifest = self.manifest;
        let size = manifest.split(name).size();
        if let Some(Images::Numbers(numbers, labels)) = self.arrays(name)? {
            return scaled(manifest, name, (numbers, labels), self.options, wanted);
        }
        // Formats that are read whole anyway may as well be kept whole.
        let (values, labels) =
            if wanted == size || matches!(manifest.format, Format::Idx | Format::Parquet | Format::Npy | Format::Npz) {
                store::load(manifest, self.located, name, |size| self.decode(name, size))?
            } else {
                let (values, labels) = self.decode(name, wanted)?;
                (values.into(), labels)
            };
        checked(manifest, name, (values, labels), self.options, wanted)
    }

    /// The first `wanted` images of `name` from their files; all of them where a format is read whole.
    pub fn decode(&self, name: &'static str, wanted: usize) -> Result<Raw> {
        let manifest = self.manifest;
        let files = manifest.split(name);
        let size = files.size();
        let (pixels, labels) = match manifest.format {
            Format::Idx => idx::load(manifest, size, self.input(&files.images), self.input(&files.labels)),
            Format::Csv => {
                let rows = manifest.rows(files.file.as_ref().map_or("", PlainName::as_str));
                csv::load(manifest, files.first_row.unwrap_or(0), size, rows, self.input(&files.file))
            }
            Format::Cifar => {
                // Only the files that are wanted have been located.
                let parts = files.files.iter().flatten().filter_map(|f| self.located.inputs.get(f.as_str()));
                cifar::load(manifest, name, &parts.collect::<Vec<_>>(), wanted)
            }
            Format::Folders => {
                let classes = self.classes.as_ref().expect("a checked manifest names the list of classes");
                folders::load(manifest, name, &self.located.folder, classes, wanted)
            }
            Format::Npy | Format::Npz => {
                let [images, labels] = self.named_arrays(name);
                return match npy::load(manifest, size, &images, &labels)? {
                    Images::Bytes(raw) => Ok(raw),
                    Images::Numbers(..) => {
                        let (file, message) =
                            (images.shown(), "holds values that are no bytes; they are read where they are");
                        Err(FileError::Content { file, message: format!("{message}, and cannot be kept decoded") }
                            .into())
                    }
                };
            }
            Format::Parquet => {
                let columns = manifest.columns.as_ref().expect("a checked manifest names the columns");
                let columns = parquet::Columns { image: &columns.image, label: &columns.label };
                parquet::load(manifest, &self.paths(files)?, columns, &self.names, size)
            }
        }?;
        // Arrays and pictures are as they should be already.
        let swapped = manifest.transposed && matches!(manifest.format, Format::Idx | Format::Csv | Format::Cifar);
        Ok((if swapped { transposed(&pixels, manifest.shape()) } else { pixels }, labels))
    }

    /// The arrays of images and labels of the split called `name`.
    fn named_arrays(&self, name: &str) -> [npy::Array<'_>; 2] {
        let files = self.manifest.split(name);
        [&files.images, &files.labels].map(|of| match self.manifest.format {
            Format::Npz => npy::Array::Member(self.input(&files.file), of.as_ref().map_or("", PlainName::as_str)),
            _ => npy::Array::File(self.input(of)),
        })
    }

    /// What arrays hold that are no bytes.
    fn arrays(&self, name: &'static str) -> Result<Option<Images>> {
        if !matches!(self.manifest.format, Format::Npy | Format::Npz) {
            return Ok(None);
        }
        let [images, labels] = self.named_arrays(name);
        if npy::are_bytes(self.manifest, &images)? {
            return Ok(None);
        }
        npy::load(self.manifest, self.manifest.split(name).size(), &images, &labels).map(Some)
    }

    /// The Parquet files of a split.
    fn paths(&self, files: &SplitFiles) -> Result<Vec<&'a Path>> {
        let inputs = files.files.iter().flatten().map(|f| &self.located.inputs[f.as_str()]);
        inputs.map(|input| input.unpacked_path()).collect()
    }

    /// The classes that Parquet files name, in alphabetical order; none where labels are numbers.
    fn named_labels(&self) -> Result<Vec<String>> {
        let columns = self.manifest.columns.as_ref().expect("a checked manifest names the columns");
        let splits = self.manifest.splits().into_iter().filter(|(name, _)| !self.located.lacks(name));
        let files = splits.map(|(_, files)| self.paths(files)).collect::<Result<Vec<_>>>()?.concat();
        let found = parquet::names(&files, &columns.label, self.manifest.classes.get())?;
        Ok(found.into_iter().collect())
    }

    /// What the classes are called, where that is known.
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// The manifest has been checked for the keys of its format, and every file of it has been found.
    fn input(&self, file: &Option<PlainName>) -> &Input {
        &self.located.inputs[file.as_ref().expect("a checked manifest names the file").as_str()]
    }

    /// Where labels of CSV stand, if that was found out.
    fn label_notes(&self) -> Result<Vec<String>> {
        let splits = self.manifest.splits().into_iter().filter(|(name, _)| !self.located.lacks(name));
        let files = splits.filter_map(|(_, files)| self.located.inputs.get(files.file.as_ref()?.as_str()));
        let mut notes = vec![];
        for file in files.filter(|_| self.manifest.format == Format::Csv && self.manifest.label.is_none()) {
            notes.extend(csv::note(self.manifest, file)?.filter(|note| !notes.contains(note)));
        }
        Ok(notes)
    }

    /// What a careful reader of the loaded `splits` should know.
    pub fn warnings(&self, splits: &[&Split]) -> Result<Vec<String>> {
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
        let notes = self.label_notes()?;
        Ok(excerpt.into_iter().chain(notes).chain(warnings(listed, splits)).collect())
    }
}

/// What a careful reader of the loaded `splits` of `classes` classes should know.
pub(in crate::data) fn warnings(classes: usize, splits: &[&Split]) -> Vec<String> {
    let missing = splits.iter().filter_map(|split| {
        let missing = missing_classes(split, classes);
        let (name, len) = (split.name(), split.len());
        (!missing.is_empty()).then(|| {
            let missing = list(&missing);
            format!("the first {len} {name} images hold none of class {missing}; raise {name}_limit to have them all")
        })
    });
    missing.collect()
}

/// The first `wanted` images of a split, which has to hold every class if it is whole.
pub(in crate::data) fn checked(
    manifest: &Manifest,
    name: &str,
    (values, labels): (Values, Vec<u32>),
    options: &Options,
    wanted: usize,
) -> Result<Split> {
    let (shape, classes, scale) = (manifest.shape(), manifest.classes.get(), manifest.byte_scale());
    let split = Split::from_bytes(name, shape, classes, (values, labels), scale, options.made());
    whole(manifest, &split)?;
    Ok(split.take(wanted))
}

/// The same of numbers from 0 to 1 that are no bytes.
fn scaled(
    manifest: &Manifest,
    name: &str,
    (numbers, labels): (Vec<f64>, Vec<u32>),
    options: &Options,
    wanted: usize,
) -> Result<Split> {
    let [c, h, w] = manifest.shape();
    let shape = (labels.len(), c, h, w);
    // Half the memory, and exact for what is stored in f32 with a scale of 1.
    let images = if options.dtype == DType::F64 {
        Tensor::from_vec(numbers, shape, &Device::Cpu)?
    } else {
        Tensor::from_vec(numbers.into_iter().map(|v| v as f32).collect::<Vec<_>>(), shape, &Device::Cpu)?
    };
    let split = Split::from_scaled(name, images, labels, manifest.classes.get(), options.made())?;
    whole(manifest, &split)?;
    Ok(split.take(wanted))
}

/// A split that is whole holds every class.
fn whole(manifest: &Manifest, split: &Split) -> Result<()> {
    let classes = manifest.classes.get();
    let missing = missing_classes(split, classes);
    if split.len() < manifest.split(split.name()).size() || missing.is_empty() {
        return Ok(());
    }
    let (dataset, split) = (manifest.name.as_str().into(), split.name().into());
    Err(Error::MissingClass { dataset, split, missing: list(&missing), classes })
}
