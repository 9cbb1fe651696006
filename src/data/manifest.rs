//! Manifests: what a data set is, in YAML (this is the only place that knows YAML). `datasets/*.yaml` are built into the
//! program and show all keys; a manifest of one's own is loaded by its path.

use super::error::{Error, Result};
use serde::de::{Deserialize, Deserializer, Visitor};
use std::io::Read;
use std::num::{NonZeroU8, NonZeroUsize};
use std::path::Path;

/// A manifest longer than this is none.
const MANIFEST_BYTES: u64 = 1 << 20;
/// The most values of one split, one byte each; splits are held in memory, and a manifest may come from somebody else.
/// It also keeps indices within u32.
const SPLIT_BYTES: usize = u32::MAX as usize;
/// As many classes as anything here is made for.
const CLASSES: usize = 1 << 16;

/// The manifests inside the program, with the files that come with them.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "digits",
        yaml: include_str!("../../datasets/digits.yaml"),
        files: &[("digits.csv.gz", include_bytes!("../../datasets/digits/digits.csv.gz"))],
    },
    BuiltIn { name: "mnist", yaml: include_str!("../../datasets/mnist.yaml"), files: &[] },
];

struct BuiltIn {
    name: &'static str,
    yaml: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

/// The names of the data sets that are known without a path.
pub fn names() -> Vec<&'static str> {
    BUILT_IN.iter().map(|b| b.name).collect()
}

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
}

/// The file formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A file of images and a file of labels per split; see `idx.rs`.
    Idx,
    /// Rows of values with the label last; see `csv.rs`.
    Csv,
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
                let plain = s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
                if plain && !s.is_empty() && !s.starts_with('.') {
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
        let Some(built_in) = BUILT_IN.iter().find(|b| b.name == name) else {
            let lower = name.to_lowercase();
            let nearest = BUILT_IN
                .iter()
                .map(|b| (strsim::damerau_levenshtein(&lower, b.name), b.name))
                .min()
                // Farther than this is another word, not a slip.
                .filter(|(distance, known)| *distance <= known.len() / 2)
                .map(|(_, known)| known.to_owned());
            let known = names().iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownDataset { name: name.into(), nearest, known });
        };
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
        manifest.check().map_err(|message| Error::Manifest { file: file.into(), at: None, message })?;
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

    /// The names of all files, each once, without `.gz`.
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = Vec::new();
        for (_, split) in self.splits() {
            for file in [&split.images, &split.labels, &split.file].into_iter().flatten() {
                if !files.contains(&file.as_str()) {
                    files.push(file.as_str());
                }
            }
        }
        files
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

    /// What the types alone do not say; the message names the key.
    fn check(&self) -> std::result::Result<(), String> {
        if self.classes.get() > CLASSES {
            return Err(format!("classes: {} classes; expected at most {CLASSES}", self.classes));
        }
        let pixels = self.shape().iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        for (name, split) in self.splits() {
            let bytes = pixels.and_then(|p| p.checked_mul(split.first_row.unwrap_or(0).checked_add(split.size.get())?));
            if bytes.is_none_or(|b| b > SPLIT_BYTES) {
                return Err(format!(
                    "splits.{name}: {} images of {:?} values; expected at most {SPLIT_BYTES} values, which are held in \
                     memory",
                    split.size,
                    self.shape()
                ));
            }
            let needs = |key: &str, given: bool, wanted: bool| match (given, wanted) {
                (false, true) => Err(format!("splits.{name}.{key}: missing; format `{}` needs it", self.format.name())),
                (true, false) => Err(format!("splits.{name}.{key}: not used by format `{}`", self.format.name())),
                _ => Ok(()),
            };
            needs("images", split.images.is_some(), self.format == Format::Idx)?;
            needs("labels", split.labels.is_some(), self.format == Format::Idx)?;
            needs("file", split.file.is_some(), self.format == Format::Csv)?;
            needs("first_row", split.first_row.is_some(), self.format == Format::Csv && split.first_row.is_some())?;
            if split.images.is_some() && split.images == split.labels {
                return Err(format!("splits.{name}: images and labels are the same file"));
            }
        }
        self.check_overlap()
    }

    /// Training on test images must not happen by a slip in a manifest.
    fn check_overlap(&self) -> std::result::Result<(), String> {
        let Splits { train, test } = &self.splits;
        let span = |s: &SplitFiles| (s.first_row.unwrap_or(0), s.first_row.unwrap_or(0) + s.size.get());
        let ((a, b), (c, d)) = (span(train), span(test));
        let same_images = train.images.is_some() && train.images == test.images;
        if same_images {
            return Err("splits: train and test use the same file of images".into());
        }
        if train.file.is_some() && train.file == test.file && a < d && c < b {
            return Err(format!("splits: train (rows {a}..{b}) and test (rows {c}..{d}) of the same file overlap"));
        }
        Ok(())
    }
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Idx => "idx",
            Format::Csv => "csv",
        }
    }
}

/// The text of the manifest at `path`.
fn read(path: &Path) -> Result<String> {
    let file = path.display().to_string();
    let io = |source| Error::Io { file: file.clone(), source };
    let mut bytes = Vec::new();
    super::read::open_file(path, &file)?.take(MANIFEST_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    let fail = |message: String| Error::Manifest { file: file.clone(), at: None, message };
    if bytes.len() as u64 > MANIFEST_BYTES {
        return Err(fail(format!("longer than {MANIFEST_BYTES} bytes; is this a manifest?")));
    }
    String::from_utf8(bytes).map_err(|e| fail(format!("not UTF-8 text: {e}")))
}
