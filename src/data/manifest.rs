//! Manifests: what a data set is, in YAML (this is the only place that knows YAML). `datasets/*.yaml` are built into the
//! program and show all keys; a manifest of one's own is loaded by its path.

use super::built_in;
use super::check::check;
use super::error::{Error, Result};
use super::file_error::FileError;
use serde::de::{Deserialize, Deserializer, Visitor};
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
    /// The images to train on and those to test on.
    pub splits: Splits,
    /// Under which terms the data may be used.
    pub licence: String,
    /// What to cite.
    pub citation: String,
    /// Where the data come from.
    #[serde(default)]
    pub homepage: Option<String>,
    /// Files that come with the program.
    #[serde(skip)]
    embedded: &'static [(&'static str, &'static [u8])],
}

/// The two splits of a manifest.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// Images to train on.
    pub train: SplitFiles,
    /// Images to test on.
    pub test: SplitFiles,
}

/// The size and the files of one split; which of the keys are needed depends on the format.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFiles {
    /// The exact number of images.
    pub size: NonZeroUsize,
    /// `idx`: the file of images, without `.gz`.
    #[serde(default)]
    pub images: Option<PlainName>,
    /// `idx`: the file of labels, without `.gz`.
    #[serde(default)]
    pub labels: Option<PlainName>,
    /// `csv`: the file of rows, without `.gz`.
    #[serde(default)]
    pub file: Option<PlainName>,
    /// `csv`: the row, from 0, at which the split starts; 0 if left out.
    #[serde(default)]
    pub first_row: Option<usize>,
    /// `cifar`: the files in order, without `.gz`, each with as many images.
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
    /// Rows of values with the label last; see `csv.rs`.
    Csv,
    /// Files of records, each a label and an image; see `cifar.rs`.
    Cifar,
    /// Pictures in folders; see `folders.rs`.
    Folders,
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

impl Manifest {
    /// The manifest called `name`, or the one at the path `name` (see [`is_path`]).
    pub fn find(name: &str) -> Result<Self> {
        if is_path(name) {
            return Self::parse(&read(Path::new(name))?, name);
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
        Ok(manifest)
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
            let single = [&split.images, &split.labels, &split.file].into_iter().flatten();
            let parts = split.files.iter().flatten().take(split.files_for(wanted));
            for file in single.chain(parts).map(PlainName::as_str) {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        files
    }

    /// The split and the number of its images that can be had without `file`, where that is some.
    pub(super) fn enough_without(&self, file: &str) -> Option<(&'static str, usize)> {
        self.splits().into_iter().find_map(|(name, split)| {
            let before = split.files.iter().flatten().position(|f| f.as_str() == file)?;
            (before > 0).then(|| (name, before * split.images_per_file()))
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

impl SplitFiles {
    /// `cifar`: the images in each of the files.
    pub fn images_per_file(&self) -> usize {
        // `check` has made sure that it comes out even.
        self.size.get() / self.files.as_ref().map_or(1, Vec::len)
    }

    /// `cifar`: how many of the files the first `wanted` images are in.
    fn files_for(&self, wanted: usize) -> usize {
        wanted.div_ceil(self.images_per_file())
    }
}

impl Format {
    /// As manifests write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Idx => "idx",
            Format::Csv => "csv",
            Format::Cifar => "cifar",
            Format::Folders => "folders",
        }
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
    String::from_utf8(bytes).map_err(|e| fail(format!("not UTF-8 text: {e}")))
}
