//! The keys of a manifest below its first level, and what a value of each may be

use serde::de::{Deserialize, Deserializer, Visitor};
use std::num::NonZeroUsize;

/// The splits of a manifest; it has images to train or to test on, or both.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// Images to train on; a manifest without can be evaluated.
    #[serde(default)]
    pub train: Option<SplitFiles>,
    /// Images to test on; without them a part of those to train on is set apart.
    #[serde(default)]
    pub test: Option<SplitFiles>,
    /// Images for validation, where the publisher has set some apart.
    #[serde(default)]
    pub validation: Option<SplitFiles>,
}

/// Columns of a Parquet file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// The bytes of a picture file, or a struct that has them as its `bytes`.
    pub image: String,
    /// Whole numbers, or the names of classes.
    pub label: String,
}

/// A repository of the hub that holds the data set.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Which columns hold what.
    pub columns: Columns,
    /// Paths of the training images' files in the repository, in order.
    pub train: Vec<String>,
    /// The same of the test images.
    pub test: Vec<String>,
}

/// Mean and standard deviation for each channel.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// One number for each channel.
    pub mean: Vec<f64>,
    /// The same.
    pub std: Vec<f64>,
}

/// A SHA-256 as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Sha256(String);

impl Sha256 {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is no SHA-256: expected 64 digits 0-9 and a-f"))
        }
    }
}

/// The size and the files of one split; which of the keys are needed depends on the format.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFiles {
    /// The exact number of images; left out, all that `idx`, `csv`, `npy`, `npz` and `parquet` files hold.
    #[serde(default)]
    pub size: Option<NonZeroUsize>,
    /// `idx`, `npy`: the file of images, without `.gz`. `npz`: the name of its array; left out, `train_images`, `x_train` and
    /// the like.
    #[serde(default)]
    pub images: Option<PlainName>,
    /// `idx`, `npy`: the file of labels, without `.gz`. `npz`: the name of its array.
    #[serde(default)]
    pub labels: Option<PlainName>,
    /// `csv`: the file of rows, without `.gz`. `npz`: the file.
    #[serde(default)]
    pub file: Option<PlainName>,
    /// `csv`: the row, from 0 and without a header, at which the split starts; 0 if left out.
    #[serde(default)]
    pub first_row: Option<usize>,
    /// The digest of the whole split's content, whatever its source and order; see `digest.rs`.
    #[serde(default)]
    pub digest: Option<Sha256>,
    /// `cifar`: the files in order, without `.gz`, each with as many images. `parquet`: the files in order.
    #[serde(default)]
    pub files: Option<Vec<PlainName>>,
    /// `folders`: the folder that holds a folder for each class, or the annotations.
    #[serde(default)]
    pub folder: Option<PlainName>,
    /// `folders`: the folder, within that of a class or beside the annotations, that holds the images; none if left out.
    #[serde(default)]
    pub subfolder: Option<PlainName>,
    /// `folders`: the file that lists images and their classes, where images are not kept in a folder for each class.
    #[serde(default)]
    pub annotations: Option<PlainName>,
}

/// The file formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A file of images and a file of labels per split; see `idx.rs`.
    Idx,
    /// Rows of values and a label; see `csv.rs`.
    Csv,
    /// Files of records, each a label and an image, or Python's version of them; see `cifar.rs`, `cifar_python.rs`.
    Cifar,
    /// Pictures in folders; see `folders.rs`.
    Folders,
    /// Rows of a picture and its label; see `parquet.rs`.
    Parquet,
    /// A NumPy array of images and one of labels for each split; see `npy.rs`.
    Npy,
    /// The same as members of one file; see `npy.rs`.
    Npz,
}

/// A name that can be a file in a data folder and cannot lead out of it: letters, digits, `.`, `-` and `_`, not
/// beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainName(String);

impl PlainName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name inside an archive that has been found there.
    pub(in crate::data) fn of_known(name: String) -> Self {
        Self(name)
    }

    /// Is `name` one?
    pub fn allows(name: &str) -> bool {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        plain && !name.is_empty() && !name.starts_with('.')
    }
}

impl<'de> Deserialize<'de> for PlainName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        // The check sits in a visitor and not behind `try_from` because only then does the error carry this value's
        // own line and column.
        struct Plain;
        impl Visitor<'_> for Plain {
            type Value = PlainName;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a plain name (letters, digits, `.`, `-`, `_`, no leading `.`, no folders)")
            }
            fn visit_str<E: serde::de::Error>(self, s: &str) -> std::result::Result<PlainName, E> {
                if PlainName::allows(s) {
                    Ok(PlainName(s.into()))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(s), &self))
                }
            }
        }
        deserializer.deserialize_str(Plain)
    }
}

impl SplitFiles {
    /// The number of images; 0 while it is not known.
    pub fn size(&self) -> usize {
        self.size.map_or(0, NonZeroUsize::get)
    }

    /// `cifar`: the images in each of the files.
    pub fn images_per_file(&self) -> usize {
        // `check` has made sure that it comes out even.
        self.size() / self.files.as_ref().map_or(1, Vec::len)
    }

    /// `cifar`: how many of the files the first `wanted` images are in.
    pub(in crate::data) fn files_for(&self, wanted: usize) -> usize {
        wanted.div_ceil(self.images_per_file())
    }
}

impl Format {
    /// As manifests write it.
    pub(in crate::data) fn name(self) -> &'static str {
        match self {
            Format::Idx => "idx",
            Format::Csv => "csv",
            Format::Cifar => "cifar",
            Format::Folders => "folders",
            Format::Parquet => "parquet",
            Format::Npy => "npy",
            Format::Npz => "npz",
        }
    }
}
