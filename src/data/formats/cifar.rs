//! The binary files of CIFAR-10 and CIFAR-100: records of a byte for the label (before it, for CIFAR-100, one for a coarser
//! label, which is not used), then the image's values in CHW order; the same number of records in every file of a split,
//! and nothing else.

use super::cifar_python;
use super::raw::{Raw, label};
use crate::data::error::Result;
use crate::data::file_error::FileError;
use crate::data::manifest::{Manifest, SplitFiles};
use crate::data::read::Input;
use std::num::NonZeroUsize;

/// Read the first `wanted` images of the split called `name`. Of `files` only those are read that hold them; such a file
/// may be incomplete where its first records are enough, but only by whole records.
pub fn load(manifest: &Manifest, name: &'static str, files: &[&Input], wanted: usize) -> Result<Raw> {
    let split = manifest.split(name);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for input in files {
        let needed = (wanted - labels.len()).min(split.images_per_file());
        match read(manifest, split, input, needed, (name, labels.len()))? {
            Some(records) => append(manifest, input, records, &mut values, &mut labels)?,
            None => {
                let (more, their) = cifar_python::read(manifest, input, split.images_per_file(), needed)?;
                values.extend(more);
                labels.extend(their);
            }
        }
    }
    Ok((values, labels))
}

/// The first `needed` records of `input`, or nothing where it is a pickle; `done` names the split and the number of its images
/// that are in earlier files.
fn read(
    manifest: &Manifest,
    split: &SplitFiles,
    input: &Input,
    needed: usize,
    done: (&'static str, usize),
) -> Result<Option<Vec<u8>>> {
    let record = label_bytes(manifest) + manifest.pixels();
    let whole = (split.images_per_file() * record) as u64;
    // All of it, also for a limit: what is behind the wanted records tells whether this is the right kind of file.
    let mut bytes = input.read_at_most(whole, &format!("{whole} bytes of records"))?;
    if cifar_python::is_one(manifest, &bytes, bytes.len(), record) {
        return Ok(None);
    }
    let (file, packed, found) = (input.shown(), input.packed(), bytes.len() as u64);
    if found > whole {
        return Err(FileError::Trailing { file, expected: whole, found: input.size(), packed }.into());
    }
    let there = bytes.len() / record;
    if bytes.len() % record != 0 || there < needed {
        let images = done.1 + there;
        // Only a file of whole records can be an excerpt made on purpose.
        let enough = (bytes.len().is_multiple_of(record) && images > 0).then_some((done.0, images));
        return Err(FileError::CutOff { file, expected: whole, found, packed, enough }.into());
    }
    bytes.truncate(needed * record);
    Ok(Some(bytes))
}

fn label_bytes(manifest: &Manifest) -> usize {
    manifest.label_bytes.map_or(1, NonZeroUsize::get)
}

fn append(
    manifest: &Manifest,
    input: &Input,
    records: Vec<u8>,
    values: &mut Vec<u8>,
    labels: &mut Vec<u32>,
) -> Result<()> {
    let scale = manifest.byte_scale();
    let before = label_bytes(manifest);
    for (index, record) in records.chunks_exact(before + manifest.pixels()).enumerate() {
        let image = &record[before..];
        let label = label(manifest, &input.shown(), index, record[before - 1].into())?;
        if let Some(&value) = image.iter().find(|v| **v > scale) {
            return Err(FileError::Pixel { file: input.shown(), index, value, scale }.into());
        }
        values.extend_from_slice(image);
        labels.push(label);
    }
    Ok(())
}
