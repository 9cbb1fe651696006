//! A manifest: what a data set is, and which files it is made of.

use super::keys::{Columns, Format, HubSource, Normalisation, PlainName, Sha256, SplitFiles, Splits};
use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroUsize};

/// What a data set is and which files it is made of.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// Short name; also the folder in which its files are looked for.
    pub name: PlainName,
    /// One line for people.
    pub title: String,
    /// Channels, height and width of an image.
    pub shape: [NonZeroUsize; 3],
    /// Labels are `0..classes`.
    pub classes: NonZeroUsize,
    /// Stored values are divided by this, which gives values from 0 to 1.
    pub scale: NonZeroU8,
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
    /// The images to train on and those to test on.
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
    pub licence: String,
    /// What to cite.
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

    /// The files of the split called `train` or `test`.
    pub(in crate::data) fn split(&self, name: &str) -> &SplitFiles {
        if name == "train" { &self.splits.train } else { &self.splits.test }
    }

    /// The splits with their names.
    pub fn splits(&self) -> [(&'static str, &SplitFiles); 2] {
        [("train", &self.splits.train), ("test", &self.splits.test)]
    }

    /// The names of the files that the first `train` and the first `test` images are in, each once, without `.gz`.
    pub fn files(&self, train: usize, test: usize) -> Vec<&str> {
        let mut files: Vec<&str> = self.class_list.iter().map(PlainName::as_str).collect();
        for (split, wanted) in [(&self.splits.train, train), (&self.splits.test, test)] {
            for file in self.files_of(split, wanted) {
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
        let parts = if self.format == Format::Parquet { usize::MAX } else { split.files_for(wanted) };
        single.chain(split.files.iter().flatten().take(parts)).map(PlainName::as_str)
    }

    /// Images in each split.
    pub(in crate::data) fn sizes(&self) -> [usize; 2] {
        self.splits().map(|(_, split)| split.size.get())
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
        of_file.map(|(_, s)| s.first_row.unwrap_or(0) + s.size.get()).max().unwrap_or(0)
    }

    /// The contents of `file` (with `.gz` where it is packed) if it comes with the program.
    pub fn embedded(&self, file: &str) -> Option<&'static [u8]> {
        self.embedded.iter().find(|(name, _)| *name == file).map(|(_, bytes)| *bytes)
    }
}
