//! The Python version of CIFAR-10 and CIFAR-100: a pickled dictionary for each file, with `data`, an array [n, pixels] of bytes,
//! and `labels` or `fine_labels`, a list. It is read without running anything.

use super::pickle::{self, Value};
use super::raw::{Raw, labels};
use crate::data::error::Result;
use crate::data::file_error::FileError;
use crate::data::manifest::Manifest;
use crate::data::read::Input;

/// What a batch holds beside its images, at the most: names of files.
const MORE: u64 = 64 << 20;

/// Is `start` that of a pickle, in a data set whose records are of `record` bytes? `length` is that of the file as far as known.
pub fn is_one(manifest: &Manifest, start: &[u8], length: usize, record: usize) -> bool {
    // No record begins so where no label is as great.
    let begins = start.len() > 1 && start[0] == 0x80 && (2..=5).contains(&start[1]);
    begins && (manifest.classes.get() <= 128 || !length.is_multiple_of(record))
}

/// The first `needed` images of `input`, which holds `images` of them.
pub fn read(manifest: &Manifest, input: &Input, images: usize, needed: usize) -> Result<Raw> {
    let file = input.shown();
    let fail = |message: String| FileError::Content { file: file.clone(), message };
    let pixels = manifest.pixels();
    // Python 3 writes bytes as text in protocol 2: two bytes for each above 127.
    let limit = 2 * (images * pixels) as u64 + MORE;
    let bytes = input.read_at_most(limit, "a pickled batch of images")?;
    let broken = |why: String| fail(format!("no readable batch of Python's version: {why}; copy or unpack it again"));
    if bytes.len() as u64 > limit {
        return Err(broken(format!("longer than {limit} bytes")).into());
    }
    let (pickle, root) = pickle::read(&bytes).map_err(broken)?;
    let lacks = |what: &str| {
        let keys = pickle.keys(root).join(", ");
        fail(format!("has no {what}; expected a dictionary with `data` and `labels` or `fine_labels`, found: {keys}"))
    };
    let data = pickle.get(root, "data").ok_or_else(|| lacks("`data`"))?;
    let Value::Array(Some((shape, data))) = pickle.at(data) else { return Err(lacks("array `data`").into()) };
    let named = ["fine_labels", "labels"].iter().find_map(|key| pickle.get(root, key));
    let list = named.ok_or_else(|| lacks("labels"))?;
    let Value::List(list) = pickle.at(list) else { return Err(lacks("list of labels").into()) };
    let (found, values) = (list.len(), pickle.bytes(*data).unwrap_or_default());
    if *shape != [found, pixels] {
        return Err(fail(format!("`data` is {shape:?} for {found} labels; expected [{found}, {pixels}]")).into());
    }
    if found > images || found < needed {
        let expected = images as u64;
        return Err(FileError::Count { file, what: "images", expected, found: found.to_string() }.into());
    }
    let number = |place: &usize| match pickle.at(*place) {
        Value::Int(n) => Ok(i128::from(*n)),
        _ => Err(fail("a label is no whole number".into())),
    };
    let stored = list.iter().take(needed).map(number).collect::<std::result::Result<Vec<_>, _>>()?;
    let scale = manifest.byte_scale();
    let values = values[..needed * pixels].to_vec();
    if let Some(at) = values.iter().position(|v| *v > scale) {
        return Err(FileError::Pixel { file, index: at / pixels, value: values[at], scale }.into());
    }
    Ok((values, labels(manifest, &file, stored)?))
}
