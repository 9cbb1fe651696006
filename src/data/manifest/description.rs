//! A manifest: what a data set is, and which files it is made of.

use super::keys::{Columns, Format, HubSource, Normalisation, PlainName, Sha256, SplitFiles, Splits};
use super::looks::{Pictures, Scale};
use crate::data::error::{Error, Result};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// How many images of each split are wanted, the first of them.
#[derive(Debug, Clone)]
pub struct Wanted(pub Vec<(&'static str, usize)>);

impl Wanted {
    /// Of the split called `name`.
    pub fn of(&self, name: &str) -> usize {
        self.0.iter().find(|(split, _)| *split == name).map_or(0, |(_, n)| *n)
    }
}

fn not_stated() -> String {
    "not stated".into()
}

/// What a data set is and which files it is made of.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// Short name; also the folder in which its files are looked for.
    pub name: PlainName,
    /// One line for people; the name if left out.
    #[serde(default)]
    pub title: String,
    /// Channels, height and width of an image.
    pub shape: [NonZeroUsize; 3],
    /// Labels are `0..classes`.
    pub classes: NonZeroUsize,
    /// Stored values are divided by this, which gives values from 0 to 1; 255 if left out. Only arrays can have one that is
    /// no whole number from 1 to 255.
    #[serde(default)]
    pub scale: Option<Scale>,
    /// How the files are to be read.
    pub format: Format,
    /// The folder that the published archive unpacks to, where it makes one.
    #[serde(default)]
    pub folder: Option<PlainName>,
    /// `folders`: the file that names the classes, one per line. Labels count them in alphabetical order.
    #[serde(default)]
    pub class_list: Option<PlainName>,
    /// `cifar`: bytes before each image, of which the last is the label; 1 if left out.
    #[serde(default)]
    pub label_bytes: Option<NonZeroUsize>,
    /// `parquet`: which columns hold the images and the labels.
    #[serde(default)]
    pub columns: Option<Columns>,
    /// `csv`: is the first row a header? If left out, it is one where it holds a field that is no number.
    #[serde(default)]
    pub header: Option<bool>,
    /// `csv`: where the label stands, `first`, `last` or a column's name; see `csv.rs` for what holds without it.
    #[serde(default)]
    pub label: Option<String>,
    /// The label of the first class, as files have it; 0 if left out.
    #[serde(default)]
    pub first_label: Option<u32>,
    /// Are rows and columns of stored images swapped, as EMNIST has them?
    #[serde(default)]
    pub transposed: bool,
    /// What the classes are called, in the order of their labels.
    #[serde(default)]
    pub class_names: Option<Vec<String>>,
    /// `folders`, `parquet`: what is done to pictures that are not yet as `shape` says.
    #[serde(default)]
    pub pictures: Option<Pictures>,
    /// The images to train on, to test on and for validation.
    pub splits: Splits,
    /// Where `workbench data fetch` finds the data set on the hub, as Parquet.
    #[serde(default)]
    pub hub: Option<HubSource>,
    /// SHA-256 of files, by their names in this manifest, unpacked. Files that are not listed are not checked one by one.
    #[serde(default)]
    pub checksums: BTreeMap<String, Sha256>,
    /// Mean and standard deviation of each channel over the training images, of values from 0 to 1.
    #[serde(default)]
    pub normalisation: Option<Normalisation>,
    /// Under which terms the data may be used.
    #[serde(default = "not_stated")]
    pub licence: String,
    /// What to cite.
    #[serde(default = "not_stated")]
    pub citation: String,
    /// Where the data come from.
    #[serde(default)]
    pub homepage: Option<String>,
    /// What the manifest was asked for by: its name, or its path.
    #[serde(skip)]
    pub(in crate::data) asked: String,
    /// SHA-256 of the manifest's text: what the decoded cache is keyed by.
    #[serde(skip)]
    pub(in crate::data) key: String,
    /// Files that come with the program.
    #[serde(skip)]
    pub(in crate::data) embedded: Vec<(&'static str, &'static [u8])>,
}

impl Manifest {
    /// Channels, height and width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape.map(NonZeroUsize::get)
    }

    /// Values in one image.
    pub fn pixels(&self) -> usize {
        // `check` has made sure that this fits.
        self.shape().iter().product()
    }

    /// Channels, height and width as files hold them.
    pub(in crate::data) fn stored_shape(&self) -> [usize; 3] {
        let [c, h, w] = self.shape();
        if self.transposed { [c, w, h] } else { [c, h, w] }
    }

    /// The scale of values that are bytes.
    pub(in crate::data) fn byte_scale(&self) -> u8 {
        // `check` has made sure that formats which hold bytes have one.
        self.scale.as_ref().map_or(Some(u8::MAX), Scale::byte).unwrap_or(u8::MAX)
    }

    /// The files of the split called `name`, which the manifest has.
    pub(in crate::data) fn split(&self, name: &str) -> &SplitFiles {
        let found = self.splits().into_iter().find(|(split, _)| *split == name);
        found.map(|(_, files)| files).expect("only splits that the manifest has are asked for")
    }

    /// The splits that there are, with their names.
    pub fn splits(&self) -> Vec<(&'static str, &SplitFiles)> {
        let Splits { train, test, validation } = &self.splits;
        let named = [("train", train), ("test", test), ("validation", validation)];
        named.into_iter().filter_map(|(name, files)| Some((name, files.as_ref()?))).collect()
    }

    /// The same, to be changed.
    pub(in crate::data) fn splits_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut SplitFiles)> {
        let Splits { train, test, validation } = &mut self.splits;
        let named = [("train", train), ("test", test), ("validation", validation)];
        named.into_iter().filter_map(|(name, files)| Some((name, files.as_mut()?)))
    }

    /// The names of the files that the first so many images of each split are in, each once, without `.gz`.
    pub fn files(&self, wanted: &Wanted) -> Vec<&str> {
        let mut files: Vec<&str> = self.class_list.iter().map(PlainName::as_str).collect();
        for (name, split) in self.splits() {
            for file in self.files_of(split, wanted.of(name)) {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        files
    }

    /// The same for one split, without the list of classes.
    pub(in crate::data) fn files_of<'a>(&self, split: &'a SplitFiles, wanted: usize) -> impl Iterator<Item = &'a str> {
        // Of an .npz file, images and labels name members.
        let members = self.format == Format::Npz;
        let own = [&split.images, &split.labels].into_iter().filter(move |_| !members);
        let single = own.chain([&split.file]).flatten();
        // How many rows a Parquet file holds only it knows.
        let all = self.format == Format::Parquet || split.size.is_none();
        let parts = if all { usize::MAX } else { split.files_for(wanted) };
        single.chain(split.files.iter().flatten().take(parts)).map(PlainName::as_str)
    }

    /// The same without training images.
    pub(in crate::data) fn without_train(&self) -> Self {
        let splits = Splits { train: None, ..self.splits.clone() };
        Self { splits, ..self.clone() }
    }

    /// The same with training images alone; an error where there are none.
    pub(in crate::data) fn only_train(self) -> Result<Self> {
        if self.splits.train.is_none() {
            let why = "its manifest names none".into();
            return Err(Error::NoTraining { dataset: self.name.as_str().into(), why });
        }
        let splits = Splits { test: None, validation: None, ..self.splits };
        Ok(Self { splits, ..self })
    }

    /// All images of each split.
    pub(in crate::data) fn all(&self) -> Wanted {
        Wanted(self.splits().into_iter().map(|(name, split)| (name, split.size())).collect())
    }

    /// The split and the number of its images that can be had without `file`, where that is some.
    pub(in crate::data) fn enough_without(&self, file: &str) -> Option<(&'static str, usize)> {
        self.splits().into_iter().find_map(|(name, split)| {
            let before = split.files.iter().flatten().position(|f| f.as_str() == file)?;
            (before > 0 && self.format == Format::Cifar).then(|| (name, before * split.images_per_file()))
        })
    }

    /// How many rows the CSV file `file` holds: as many as its splits need.
    pub fn rows(&self, file: &str) -> usize {
        let of_file = self.splits().into_iter().filter(|(_, s)| s.file.as_ref().is_some_and(|f| f.as_str() == file));
        of_file.map(|(_, s)| s.first_row.unwrap_or(0) + s.size()).max().unwrap_or(0)
    }

    /// The contents of `file` (with `.gz` where it is packed) if it comes with the program.
    pub fn embedded(&self, file: &str) -> Option<&'static [u8]> {
        self.embedded.iter().find(|(name, _)| *name == file).map(|(_, bytes)| *bytes)
    }
}
