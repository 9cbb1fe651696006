//! From located files to splits: the reader that the manifest's format needs, and what holds for every format.
//!
//! A limit takes the first images of a fixed order, and asks only for the files that hold them; without a limit
//! everything has to be there. A file that is read has to be one of the right kind up to its end.

use super::locate::Located;
use super::store;
use crate::data::Options;
use crate::data::error::{Error, Result};
use crate::data::formats::Raw;
use crate::data::formats::folders::Classes;
use crate::data::formats::{cifar, csv, folders, idx, npy, parquet};
use crate::data::manifest::{Format, Manifest, PlainName};
use crate::data::read::Input;
use crate::data::split::Split;
use crate::data::split::classes::{list, missing_classes};
use crate::data::values::Values;

/// Loads the splits of one data set.
pub(in crate::data) struct Loader<'a> {
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
        let manifest = self.manifest;
        let size = manifest.split(name).size.get();
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
        let size = files.size.get();
        match manifest.format {
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
            Format::Npy => {
                let [images, labels] = [&files.images, &files.labels].map(|file| npy::Array::File(self.input(file)));
                npy::load(manifest, size, &images, &labels)
            }
            Format::Npz => {
                let name = |name: &'a Option<PlainName>| name.as_ref().map_or("", PlainName::as_str);
                let member = |of| npy::Array::Member(self.input(&files.file), name(of));
                npy::load(manifest, size, &member(&files.images), &member(&files.labels))
            }
            Format::Parquet => {
                let columns = manifest.columns.as_ref().expect("a checked manifest names the columns");
                let columns = parquet::Columns { image: &columns.image, label: &columns.label };
                let inputs = files.files.iter().flatten().map(|f| &self.located.inputs[f.as_str()]);
                let paths = inputs.map(|input| input.unpacked_path()).collect::<Result<Vec<_>>>()?;
                parquet::load(manifest, &paths, columns, size)
            }
        }
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
        excerpt.into_iter().chain(warnings(listed, splits)).collect()
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
    let (shape, classes, scale) = (manifest.shape(), manifest.classes.get(), manifest.scale.get());
    let whole = labels.len() == manifest.split(name).size.get();
    let split = Split::from_bytes(name, shape, classes, (values, labels), scale, options.made());
    let missing = missing_classes(&split, classes);
    if whole && !missing.is_empty() {
        let (dataset, split) = (manifest.name.as_str().into(), name.into());
        return Err(Error::MissingClass { dataset, split, missing: list(&missing), classes });
    }
    Ok(split.take(wanted))
}
