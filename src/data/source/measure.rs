//! What a manifest may leave to its files: how many images a split has, and what the arrays of a .npz file are called.

use super::locate::Located;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::formats::{csv, idx, npy, parquet};
use crate::data::manifest::check::{check_memory, check_overlap};
use crate::data::manifest::{Format, Manifest, PlainName, SplitFiles};
use crate::data::read::Input;
use std::num::NonZeroUsize;

/// `manifest` with all that its located files say. Splits whose files are not there stay as they are.
pub fn measured(mut manifest: Manifest, located: &Located) -> Result<Manifest> {
    let whole = manifest.clone();
    for (name, split) in manifest.splits_mut().filter(|(name, _)| !located.lacks(name)) {
        if whole.format == Format::Npz && split.images.is_none() {
            let is_alone = whole.splits().into_iter().all(|(other, files)| other == name || files.file != split.file);
            name_arrays(name, split, is_alone, located)?;
        }
        if split.size.is_none() {
            let (size, file) = size(&whole, split, located)?;
            let none = || FileError::Empty { file, expected: format!("{name} images") };
            split.size = Some(NonZeroUsize::new(size).ok_or_else(none)?);
        }
    }
    let fail = |message| Error::Manifest { file: whole.asked.clone(), at: None, message };
    for (name, split) in manifest.splits() {
        check_memory(&manifest, name, split).map_err(fail)?;
    }
    check_overlap(&manifest).map_err(fail)?;
    Ok(manifest)
}

fn input<'a>(located: &'a Located, file: &Option<PlainName>) -> &'a Input {
    &located.inputs[file.as_ref().expect("a checked manifest names the file").as_str()]
}

fn name_arrays(name: &str, split: &mut SplitFiles, is_alone: bool, located: &Located) -> Result<()> {
    let file = input(located, &split.file);
    let known = npy::archive(file)?.names();
    let missing = || {
        let message = format!(
            "no arrays of {name} images and labels, such as {}; say in the manifest what they are called: \
             `splits.{name}: {{ file: ..., images: ..., labels: ... }}`; the file holds {}",
            match name {
                "validation" => "`val_images` and `val_labels`".to_string(),
                _ => format!("`{name}_images` and `{name}_labels`, or `x_{name}` and `y_{name}`"),
            },
            known.join(", ")
        );
        Error::from(FileError::Content { file: file.shown(), message })
    };
    let plain = || if is_alone { npy::plain_names(&known) } else { None };
    let (images, labels) = npy::names_of(name, &known).or_else(plain).ok_or_else(missing)?;
    split.images = Some(PlainName::of_known(images));
    split.labels = Some(PlainName::of_known(labels));
    Ok(())
}

/// How many images there are, and the file that says so.
fn size(manifest: &Manifest, split: &SplitFiles, located: &Located) -> Result<(usize, String)> {
    match manifest.format {
        Format::Idx => {
            let images = input(located, &split.images);
            Ok((idx::count(manifest, images)?, images.shown()))
        }
        Format::Csv => {
            let file = input(located, &split.file);
            let rows = csv::count(manifest, file)?;
            Ok((rows.saturating_sub(split.first_row.unwrap_or(0)), file.shown()))
        }
        Format::Npy => {
            let images = input(located, &split.images);
            Ok((npy::Array::File(images).len()?, images.shown()))
        }
        Format::Npz => {
            let file = input(located, &split.file);
            let name = split.images.as_ref().map_or("", PlainName::as_str);
            Ok((npy::Array::Member(file, name).len()?, file.shown()))
        }
        Format::Parquet => {
            let inputs = split.files.iter().flatten().map(|f| &located.inputs[f.as_str()]);
            let paths = inputs.map(|input| input.unpacked_path()).collect::<Result<Vec<_>>>()?;
            Ok((
                parquet::count(&paths)?,
                split.files.iter().flatten().map(PlainName::as_str).collect::<Vec<_>>().join(", "),
            ))
        }
        // `check` has asked for the size.
        Format::Cifar | Format::Folders => Ok((split.size(), manifest.asked.clone())),
    }
}
