//! What can go wrong with a data set, each with the file, what was expected, what was found, and the way out.

use std::path::PathBuf;

/// A result whose error is an [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a data set, a split or a batch cannot be had. `file` is a path as shown to the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No manifest of this name is built in.
    #[error("unknown data set `{name}`{}; known are {known}; a manifest of your own is given by its path, such as `./my.yaml`",
        .nearest.as_ref().map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default())]
    UnknownDataset {
        /// As asked for.
        name: String,
        /// The known name that looks most like it, where one does.
        nearest: Option<String>,
        /// All known names.
        known: String,
    },
    /// A manifest that is not valid YAML or does not describe a data set.
    #[error("manifest {file}{}: {message}", .at.map(|(line, column)| format!(", line {line}, column {column}")).unwrap_or_default())]
    Manifest {
        /// Which manifest.
        file: String,
        /// Line and column, from 1, where the fault has a place.
        at: Option<(usize, usize)>,
        /// What is wrong.
        message: String,
    },
    /// The folder given as `--data-dir` is not there.
    #[error("the data folder {} given by --data-dir {why}", .folder.display())]
    DataDir {
        /// The folder as given.
        folder: PathBuf,
        /// What is the matter with it.
        why: &'static str,
    },
    /// None of the places holds any file of the data set.
    #[error(
        "data set `{dataset}`: {file} was found nowhere. Looked, with and without .gz, for{looked}\n\
        Give the folder that holds it with `--data-dir FOLDER` or in the environment variable WORKBENCH_DATA"
    )]
    NotFound {
        /// The data set's name.
        dataset: String,
        /// The first of its files.
        file: String,
        /// Every path that was tried, one per line.
        looked: String,
    },
    /// The place that holds some of the data set's files lacks another one.
    #[error("data set `{dataset}`: {} holds {present} but neither {missing} nor {missing}.gz; put it there, or give a \
        folder that holds all files with `--data-dir FOLDER` or in the environment variable WORKBENCH_DATA", .folder.display())]
    Incomplete {
        /// The data set's name.
        dataset: String,
        /// The folder that was chosen.
        folder: PathBuf,
        /// A file that it holds.
        present: String,
        /// The file that it lacks.
        missing: String,
    },
    /// A folder, device or pipe where a file should be.
    #[error("{file} is {found}; expected a file")]
    NotAFile {
        /// The path.
        file: String,
        /// What is there instead.
        found: &'static str,
    },
    /// The operating system refused.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The path.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of 0 bytes, or a .gz file of nothing.
    #[error("{file} is empty: found 0 bytes, expected {expected}; copy or download it again")]
    Empty {
        /// The path.
        file: String,
        /// What it should hold.
        expected: String,
    },
    /// A .gz file that cannot be unpacked.
    #[error(
        "{file} cannot be unpacked: {reason}; copy or download it again, or remove `.gz` from its name if it is not compressed"
    )]
    Gzip {
        /// The path.
        file: String,
        /// The decompressor's reason.
        reason: String,
    },
    /// Not the kind of IDX file that was expected.
    #[error("{file}: wrong magic number: expected 0x{expected:08x} ({}), found 0x{found:08x} ({})", magic_name(*.expected), magic_name(*.found))]
    Magic {
        /// The path.
        file: String,
        /// What the format prescribes.
        expected: u32,
        /// The file's first four bytes.
        found: u32,
    },
    /// The file ends too early.
    #[error("{file} is cut off: expected {expected} bytes{}, found {found}; copy or download it again", unpacked(*.packed))]
    CutOff {
        /// The path.
        file: String,
        /// Bytes that it should hold.
        expected: u64,
        /// Bytes that it holds.
        found: u64,
        /// Are these bytes counted after unpacking?
        packed: bool,
    },
    /// The file goes on after its end.
    #[error("{file} is too long: expected {expected} bytes{}, found {}; copy or download it again", unpacked(*.packed),
        .found.map_or_else(|| "more".to_owned(), |n| n.to_string()))]
    Trailing {
        /// The path.
        file: String,
        /// Bytes that it should hold.
        expected: u64,
        /// Bytes that it holds, where that is known without unpacking all of it.
        found: Option<u64>,
        /// Are these bytes counted after unpacking?
        packed: bool,
    },
    /// The number of images, labels or rows differs from the manifest's.
    #[error("{file}: expected {expected} {what}, as the manifest says, found {found}")]
    Count {
        /// The path.
        file: String,
        /// Images, labels or rows.
        what: &'static str,
        /// The manifest's number.
        expected: u64,
        /// The file's number.
        found: String,
    },
    /// Images and labels do not belong together.
    #[error(
        "{images} holds {image_count} images but {labels} holds {label_count} labels; the manifest says {expected} of each"
    )]
    CountsDiffer {
        /// The file of images.
        images: String,
        /// How many it holds.
        image_count: u32,
        /// The file of labels.
        labels: String,
        /// How many it holds.
        label_count: u32,
        /// The manifest's number.
        expected: u64,
    },
    /// Images of another size than the manifest's.
    #[error("{file}: expected images of {expected}, as the manifest says, found {found}")]
    ImageSize {
        /// The path.
        file: String,
        /// The manifest's size.
        expected: String,
        /// The file's size.
        found: String,
    },
    /// A label that is no class.
    #[error("{file}: label {index} (counted from 0) is {value}; expected 0..={} ({classes} classes)", .classes - 1)]
    Label {
        /// The path, or what the labels are.
        file: String,
        /// Which label, from 0.
        index: usize,
        /// Its value.
        value: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A value above the manifest's `scale`, which would leave the range [0, 1].
    #[error("{file}: image {index} (counted from 0) has the value {value}; expected 0..={scale}, the manifest's scale")]
    Pixel {
        /// The path.
        file: String,
        /// Which image, from 0.
        index: usize,
        /// The value.
        value: u8,
        /// The greatest allowed.
        scale: u8,
    },
    /// A line of a CSV file that is no row of the data set.
    #[error("{file}, line {line}: {message}")]
    Row {
        /// The path.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A whole split without a single image of some class.
    #[error(
        "data set `{dataset}`: the {split} split holds no image of class {missing}; the manifest says {classes} classes"
    )]
    MissingClass {
        /// The data set's name.
        dataset: String,
        /// `train` or `test`.
        split: String,
        /// The classes that are missing.
        missing: String,
        /// The manifest's number of classes.
        classes: usize,
    },
    /// `train_limit` or `test_limit` of 0, or greater than the split.
    #[error(
        "{split}_limit is {limit}; data set `{dataset}` has {available} {split} images: give 1..={available}, or leave it out for all"
    )]
    Limit {
        /// The data set's name.
        dataset: String,
        /// `train` or `test`.
        split: &'static str,
        /// As given.
        limit: usize,
        /// Images in the split.
        available: usize,
    },
    /// A range that is empty, backwards or goes past the end.
    #[error("range {start}..{end} of split `{split}`, which holds {len} images: expected 0 <= start < end <= {len}")]
    Range {
        /// The split's name.
        split: String,
        /// First index.
        start: usize,
        /// One past the last index.
        end: usize,
        /// Images in the split.
        len: usize,
    },
    /// An index past the end of a split.
    #[error("index {index} of split `{split}`, which holds {len} images: expected 0..={}", .len.saturating_sub(1))]
    Index {
        /// The split's name.
        split: String,
        /// As given.
        index: u32,
        /// Images in the split.
        len: usize,
    },
    /// A batch size of 0, or one that leaves no batch.
    #[error("batches of {size} from split `{split}`, which holds {len} images: {message}")]
    BatchSize {
        /// The split's name.
        split: String,
        /// As given.
        size: usize,
        /// Images in the split.
        len: usize,
        /// What is wrong, and the way out.
        message: &'static str,
    },
    /// A dtype that cannot hold values between 0 and 1.
    #[error("images cannot be of dtype {dtype}; use f32, f64, f16 or bf16")]
    Dtype {
        /// As given.
        dtype: &'static str,
    },
    /// Arrays that make no split.
    #[error("split `{split}`: {message}")]
    Arrays {
        /// The split's name.
        split: String,
        /// What is wrong.
        message: String,
    },
    /// Somebody asked to stop while files were read.
    #[error("{}", crate::compute::interrupt::MESSAGE)]
    Interrupted,
    /// A tensor could not be made.
    #[error("{}", crate::compute::error::message(.0))]
    Compute(#[from] candle_core::Error),
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Compute(inner) => inner,
            other => candle_core::Error::Msg(other.to_string()),
        }
    }
}

fn unpacked(packed: bool) -> &'static str {
    if packed { " after unpacking" } else { "" }
}

/// What kind of file an IDX magic number stands for: its third byte is the type, its fourth the number of dimensions.
fn magic_name(magic: u32) -> String {
    let [a, b, kind, dimensions] = magic.to_be_bytes();
    match (a, b, kind, dimensions) {
        (0, 0, 8, 1) => "IDX labels".into(),
        (0, 0, 8, 3) => "IDX images".into(),
        (0, 0, 8, 4) => "IDX images with channels".into(),
        (0, 0, 8, _) => format!("IDX bytes in {dimensions} dimensions"),
        (0, 0, 9 | 11..=14, 1..) => "IDX with values other than bytes".into(),
        (0x1f, 0x8b, ..) => "a gzip file: add `.gz` to its name".into(),
        _ => "no IDX file".into(),
    }
}
