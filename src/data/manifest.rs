//! Manifests: what a data set is, in YAML (this is the only place that knows YAML). `datasets/*.yaml` are built into the
//! program and show all keys; a manifest of one's own is loaded by its path.

use super::built_in;
use super::check::check;
use super::digest;
use super::error::{Error, Result};
use super::file_error::FileError;
pub use super::manifest_keys::{Columns, Format, HubSource, Normalisation, PlainName, Sha256, SplitFiles, Splits};
use crate::base::text;
use std::collections::BTreeMap;
use std::io::Read;
use std::num::{NonZeroU8, NonZeroUsize};
use std::path::Path;

/// A manifest longer than this is none.
const MANIFEST_BYTES: u64 = 1 << 20;
/// Is `name`, as given to `Dataset::load`, the path of a manifest and not the name of a known data set?
pub fn is_path(name: &str) -> bool {
    name.contains(['/', '\\']) || name.ends_with(".yaml") || name.ends_with(".yml")
}

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
    pub(super) asked: String,
    /// SHA-256 of the manifest's text: what the decoded cache is keyed by.
    #[serde(skip)]
    pub(super) key: String,
    /// Files that come with the program.
    #[serde(skip)]
    embedded: &'static [(&'static str, &'static [u8])],
}

impl Manifest {
    /// The manifest called `name`, or the one at the path `name` (see [`is_path`]).
    pub fn find(name: &str) -> Result<Self> {
        if is_path(name) {
            return Ok(Self { asked: name.into(), ..Self::parse(&read(Path::new(name))?, name)? });
        }
        let built_in = built_in::find(name)?;
        let mut manifest = Self::parse(built_in.yaml, &format!("{name}.yaml (built in)"))?;
        manifest.embedded = built_in.files;
        Ok(manifest)
    }

    /// The manifest written in `yaml`; `file` names it in errors.
    pub fn parse(yaml: &str, file: &str) -> Result<Self> {
        let manifest: Self = serde_yaml::from_str(yaml).map_err(|e| {
            let at = e.location().map(|l| (l.line(), l.column()));
            let mut message = e.to_string();
            if let Some((line, column)) = at {
                // serde_yaml writes the place behind its message; ours stands in front.
                message = message.replace(&format!(" at line {line} column {column}"), "");
            }
            Error::Manifest { file: file.into(), at, message }
        })?;
        check(&manifest).map_err(|message| Error::Manifest { file: file.into(), at: None, message })?;
        Ok(Self { key: digest::of_bytes(yaml.as_bytes()), asked: manifest.name.as_str().into(), ..manifest })
    }

    /// Channels, height and width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape.map(NonZeroUsize::get)
    }

    /// Values in one image.
    pub fn pixels(&self) -> usize {
        // `check` has made sure that this fits.
        self.shape().iter().product()
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
    pub(super) fn files_of<'a>(&self, split: &'a SplitFiles, wanted: usize) -> impl Iterator<Item = &'a str> {
        // Of an .npz file, images and labels name members.
        let members = self.format == Format::Npz;
        let own = [&split.images, &split.labels].into_iter().filter(move |_| !members);
        let single = own.chain([&split.file]).flatten();
        // How many rows a Parquet file holds only it knows.
        let parts = if self.format == Format::Parquet { usize::MAX } else { split.files_for(wanted) };
        single.chain(split.files.iter().flatten().take(parts)).map(PlainName::as_str)
    }

    /// Images in each split.
    pub(super) fn sizes(&self) -> [usize; 2] {
        self.splits().map(|(_, split)| split.size.get())
    }

    /// The split and the number of its images that can be had without `file`, where that is some.
    pub(super) fn enough_without(&self, file: &str) -> Option<(&'static str, usize)> {
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

/// The text of the manifest at `path`.
fn read(path: &Path) -> Result<String> {
    let file = path.display().to_string();
    let io = |source| FileError::Io { file: file.clone(), source };
    let mut bytes = Vec::new();
    super::read::open_file(path, &file)?.take(MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    let fail = |message: String| Error::Manifest { file: file.clone(), at: None, message };
    if bytes.len() as u64 > MANIFEST_BYTES {
        return Err(fail(format!("longer than {MANIFEST_BYTES} bytes; is this a manifest?")));
    }
    text::utf8(bytes).map(|text| text::plain(&text).to_string()).map_err(fail)
}
