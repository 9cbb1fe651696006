//! NumPy arrays: images in one array, labels as whole numbers in another; each a `.npy` file, or both named members of one
//! `.npz` file
//!
//! Images are [n, C, H, W], [n, H, W, C] or, with one channel, [n, H, W]; labels [n] or [n, 1]. An array's shape is compared
//! with what is wanted before any of its values are read. Whole numbers with a scale up to 255 are kept as bytes, all others as
//! the numbers that they are divided by the scale.

use super::raw::{self, Raw, transposed};
use crate::compute::arrays::npz::Npz;
use crate::compute::arrays::{Layout, npy};
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::manifest::{Manifest, Scale};
use crate::data::read::Input;
use std::io::{BufReader, Read};

/// Where an array is: a file of its own, or a member of an archive.
pub enum Array<'a> {
    File(&'a Input),
    Member(&'a Input, &'a str),
}

/// What two arrays hold: images as bytes, or as numbers from 0 to 1, one after the other in CHW order; and labels.
pub enum Images {
    Bytes(Raw),
    Numbers(Vec<f64>, Vec<u32>),
}

impl Array<'_> {
    /// As errors show it.
    pub fn shown(&self) -> String {
        match self {
            Self::File(input) => input.shown(),
            Self::Member(input, name) => format!("{}, array {name}", input.shown()),
        }
    }

    fn fail(&self, message: impl Into<String>) -> FileError {
        FileError::Content { file: self.shown(), message: message.into() }
    }

    fn broken(&self, e: impl std::fmt::Display) -> FileError {
        self.fail(format!("broken NumPy array ({e}); copy it again"))
    }

    /// Calls `work` with the array's reader.
    fn open<R>(&self, work: impl FnOnce(&mut dyn Read) -> Result<R>) -> Result<R> {
        match self {
            Self::File(input) => work(&mut BufReader::new(input.open()?)),
            Self::Member(input, name) => {
                let mut archive = archive(input)?;
                let known = archive.names().join(", ");
                let missing = || self.fail(format!("is not there; the file holds {known}")).into();
                archive.with(name, work).unwrap_or_else(|| Err(missing()))
            }
        }
    }

    fn header(&self, reader: &mut dyn Read) -> Result<Layout> {
        npy::header(reader).map_err(|e| match e.starts_with("its numbers are") {
            true => self.fail(e).into(),
            false => self.broken(e).into(),
        })
    }

    /// How many there are along its first axis.
    pub fn len(&self) -> Result<usize> {
        self.open(|reader| Ok(self.header(reader)?.shape.first().copied().unwrap_or(0)))
    }
}

/// The archive that `input` is.
pub fn archive(input: &Input) -> Result<Npz> {
    let path = input.unpacked_path()?;
    crate::data::read::open_file(path, &input.shown())?;
    let broken =
        |e| FileError::Content { file: input.shown(), message: format!("broken NumPy array ({e}); copy it again") };
    Ok(Npz::open(path).map_err(broken)?)
}

/// The names of the arrays of images and labels of the split called `split`, among those that a file holds.
pub fn names_of(split: &str, known: &[String]) -> Option<(String, String)> {
    let words: &[&str] = match split {
        "validation" => &["val", "valid", "validation"],
        "train" => &["train"],
        _ => &["test"],
    };
    let pairs = words.iter().flat_map(|word| {
        [("W_images", "W_labels"), ("x_W", "y_W"), ("X_W", "y_W"), ("W_x", "W_y"), ("W_data", "W_labels")]
            .map(|(images, labels)| (images.replace('W', word), labels.replace('W', word)))
    });
    first_known(pairs, known)
}

/// The same of the only split of a file, whose arrays need not say whose they are.
pub fn plain_names(known: &[String]) -> Option<(String, String)> {
    let pairs =
        [("image", "label"), ("images", "labels"), ("x", "y"), ("X", "y"), ("data", "labels"), ("data", "label")];
    first_known(pairs.map(|(images, labels)| (images.to_string(), labels.to_string())), known)
}

/// The first pair that a file holds both of.
fn first_known(pairs: impl IntoIterator<Item = (String, String)>, known: &[String]) -> Option<(String, String)> {
    pairs.into_iter().find(|(images, labels)| known.contains(images) && known.contains(labels))
}

/// Are images of this array kept as bytes?
pub fn are_bytes(manifest: &Manifest, images: &Array) -> Result<bool> {
    let whole = images.open(|reader| Ok(images.header(reader)?.kind.is_whole()))?;
    Ok(whole && manifest.scale.is_none_or(|s| s.byte().is_some()))
}

/// Read the `size` images and labels that `manifest` promises.
pub fn load(manifest: &Manifest, size: usize, images: &Array, labels: &Array) -> Result<Images> {
    let [c, h, w] = manifest.stored_shape();
    let array = images.open(|reader| {
        let layout = images.header(reader)?;
        let is = |wanted: &[usize]| layout.shape == wanted;
        let planes = is(&[size, c, h, w]) || c == 1 && is(&[size, h, w]);
        if !planes && !is(&[size, h, w, c]) {
            return Err(images.fail(format!("its shape is {:?}; expected {:?}", layout.shape, [size, c, h, w])).into());
        }
        let array = layout.read(reader).map_err(|e| images.broken(e))?;
        Ok(if planes { array } else { array.permuted(&[0, 3, 1, 2]) })
    })?;
    let stored = labels.open(|reader| {
        let layout = labels.header(reader)?;
        if layout.shape != [size] && layout.shape != [size, 1] {
            let many = if layout.shape.len() > 1 { "; several labels for an image are not known here" } else { "" };
            return Err(labels.fail(format!("its shape is {:?}; expected [{size}]{many}", layout.shape)).into());
        }
        let array = layout.read(reader).map_err(|e| labels.broken(e))?;
        let other = || labels.fail(format!("its numbers are {:?}; expected whole numbers", array.kind));
        Ok(array.whole().ok_or_else(other)?.collect::<Vec<_>>())
    })?;
    let labels = raw::labels(manifest, &labels.shown(), stored)?;
    let pixels = manifest.pixels();
    let wrong = |at: usize, value: &dyn std::fmt::Display, scale: f64| -> Error {
        let index = at / pixels;
        let way_out = "expected 0 to the manifest's scale";
        images.fail(format!("image {index} (counted from 0) has the value {value}; {way_out}, {scale}")).into()
    };
    let scale = manifest.scale.map_or_else(|| f64::from(u8::MAX), |s| s.get());
    let byte = manifest.scale.map_or(Some(u8::MAX), |s| Scale::byte(&s));
    if let (Some(byte), true) = (byte, array.kind.is_whole()) {
        let bytes = array.whole().into_iter().flatten().enumerate().map(|(at, value)| {
            u8::try_from(value).ok().filter(|v| *v <= byte).ok_or_else(|| match u8::try_from(value) {
                Ok(value) => FileError::Pixel { file: images.shown(), index: at / pixels, value, scale: byte }.into(),
                Err(_) => wrong(at, &value, scale),
            })
        });
        let bytes = bytes.collect::<Result<Vec<u8>>>()?;
        let bytes = if manifest.transposed { transposed(&bytes, manifest.shape()) } else { bytes };
        return Ok(Images::Bytes((bytes, labels)));
    }
    if manifest.scale.is_none() {
        let message = format!(
            "its numbers are {:?}; say in the manifest what they are divided by: `scale: 1` where they are from 0 to 1, `scale: 255` \
             where they are from 0 to 255",
            array.kind
        );
        return Err(images.fail(message).into());
    }
    let numbers = array.floats().enumerate().map(|(at, value)| match (0.0..=scale).contains(&value) {
        true => Ok(value / scale),
        false => Err(wrong(at, &value, scale)),
    });
    let numbers = numbers.collect::<Result<Vec<f64>>>()?;
    let numbers = if manifest.transposed { transposed(&numbers, manifest.shape()) } else { numbers };
    Ok(Images::Numbers(numbers, labels))
}
