//! What can go wrong with a data set, each with the file, what was expected, what was found, and the way out.

use super::file_error::{FileError, or_limit};
use super::share::Share;
use std::path::PathBuf;

/// A result whose error is an [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a data set, a split or a batch cannot be had. `file` is a path as shown to the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No manifest of this name is built in.
    #[error("unknown data set `{name}`{}; known are {known}; a manifest or a folder of pictures of your own is given by its path, such as `./my.yaml` or `./pictures`",
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
        Give the folder that holds it with `--data-dir FOLDER` or in the environment variable WORKBENCH_DATA{fetch}"
    )]
    NotFound {
        /// The data set's name.
        dataset: String,
        /// The first of its files.
        file: String,
        /// Every path that was tried, one per line.
        looked: String,
        /// Or how to fetch it, where that is possible.
        fetch: String,
    },
    /// The place that holds some of the data set's files lacks another one.
    #[error("data set `{dataset}`: {} holds {present} but neither {missing} nor {missing}.gz; put it there, or give a \
        folder that holds all files with `--data-dir FOLDER` or in the environment variable WORKBENCH_DATA{}", .folder.display(),
        or_limit(*.enough))]
    Incomplete {
        /// The data set's name.
        dataset: String,
        /// The folder that was chosen.
        folder: PathBuf,
        /// A file that it holds.
        present: Box<str>,
        /// The file that it lacks.
        missing: Box<str>,
        /// The split and how many of its images can be had without that file, where that is some.
        enough: Option<(&'static str, usize)>,
    },
    /// A file that is not what it should be.
    #[error(transparent)]
    File(#[from] FileError),
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
    /// A crop or cutout that leaves nothing of the image, or a border that is too wide.
    #[error("{option} is {given}; {of} has images of {height}x{width}: give 0..={most}, or leave it out for none")]
    Pixels {
        /// `crop`, `cutout` or `pad`.
        option: &'static str,
        /// The data set or split.
        of: String,
        /// As given.
        given: usize,
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
        /// The most that can be had.
        most: usize,
    },
    /// An angle beyond a half turn, or none.
    #[error("rotation is {given} degrees: give 0 to 180, or leave it out for none")]
    Rotation {
        /// As given, in degrees.
        given: f64,
    },
    /// Operations that are stronger than the strongest, or have no strength.
    #[error("rand_strength is {given}: give 0 to {most}")]
    Strength {
        /// As given.
        given: f64,
        /// The strongest.
        most: f64,
    },
    /// A part of the images that is none of them or all, or no part.
    #[error("{option} is {given}; {from} has {available} image{}: {}", if *.available == 1 { "" } else { "s" },
        way_to_share(*.available, .option))]
    Share {
        /// `validation` or `test`.
        option: &'static str,
        /// As given.
        given: Share,
        /// Of what.
        from: String,
        /// Images that it has.
        available: usize,
    },
    /// `per_class` of 0, or greater than a class.
    #[error("per_class is {given}; split `{split}` has {found} images of class {class}: {}",
        if *.found > 0 { format!("give 1..={found}, or leave it out for all") }
        else { "leave it out, or take a split that has images of every class".into() })]
    PerClass {
        /// The split's name.
        split: String,
        /// As given.
        given: usize,
        /// The class that has the fewest images.
        class: usize,
        /// How many these are.
        found: usize,
    },
    /// Validation images of a data set that was loaded without.
    #[error(
        "data set `{dataset}` was loaded without validation images; ask for some where it is made, such as a tenth of \
        the training images: `validation: 0.1`"
    )]
    NoValidation {
        /// The data set's name.
        dataset: String,
    },
    /// Training images of a data set that is here without.
    #[error(
        "data set `{dataset}` is here without training images: {why}; put their files beside those of the test images, or \
        test on it alone"
    )]
    NoTraining {
        /// The data set's name.
        dataset: String,
        /// What is missing.
        why: String,
    },
    /// Validation images asked for where there are some.
    #[error(
        "validation is {given}; data set `{dataset}` has validation images of its own: leave it out, and take `data.validation`"
    )]
    HasValidation {
        /// The data set's name.
        dataset: String,
        /// As given.
        given: Share,
    },
    /// Test images asked for where there are some.
    #[error(
        "test is {given}; data set `{dataset}` has test images of its own: leave it out, or give test_limit for fewer of them"
    )]
    HasTest {
        /// The data set's name.
        dataset: String,
        /// As given.
        given: Share,
    },
    /// A data set that cannot stand beside another.
    #[error("{message}")]
    Beside {
        /// Why not, and the way out.
        message: String,
    },
    /// A class list that does not belong to the data set.
    #[error("{file} names {found} classes; expected {expected}, as the manifest says{}",
        if .found < .expected { "; unpack the data set again, or do with what is there: give train_limit and test_limit" } else { "" })]
    ClassList {
        /// The path.
        file: String,
        /// The manifest's number of classes.
        expected: usize,
        /// The file's.
        found: usize,
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
    /// A batch size that the run's shards cannot share alike.
    #[error("batches from split `{split}`: {message}")]
    Shards {
        /// The split's name.
        split: String,
        /// Why not, and the way out.
        message: String,
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
    /// A file of the hub that cannot be had.
    #[error("{file}: {message}")]
    Hub {
        /// Its address.
        file: String,
        /// Why, and the way out.
        message: String,
    },
    /// Content that is not what the manifest promises.
    #[error(
        "data set `{dataset}`: the {split} images from {source_of} are not those that were published: the digest of their content \
        is {found}, expected {expected}; fetch or copy them again, or describe them by a manifest of your own"
    )]
    Digest {
        /// The data set's name.
        dataset: String,
        /// `train` or `test`.
        split: &'static str,
        /// Where they came from.
        source_of: Box<str>,
        /// The manifest's digest.
        expected: Box<str>,
        /// The content's.
        found: Box<str>,
    },
    /// A file whose checksum is not the manifest's.
    #[error("{file}: its SHA-256 is {found}, expected {expected}; fetch or copy it again")]
    Checksum {
        /// The path.
        file: String,
        /// The manifest's.
        expected: String,
        /// The file's.
        found: String,
    },
    /// Something that `workbench data` was asked for and cannot do.
    #[error("data set `{dataset}`: {message}")]
    Store {
        /// The data set's name.
        dataset: String,
        /// Why not, and the way out.
        message: String,
    },
    /// Somebody asked to stop while files were read.
    #[error("{}", crate::base::interrupt::MESSAGE)]
    Interrupted,
    /// A tensor could not be made.
    #[error("{}", crate::base::error::message(.0))]
    Compute(#[from] candle_core::Error),
}

/// What may be set apart of so many images.
fn way_to_share(available: usize, option: &str) -> String {
    match available {
        0 | 1 => format!("too few to set any apart; leave `{option}` out or take more images"),
        n => format!("give a whole number from 1 to {}, or a share between 0 and 1 that comes to one of these", n - 1),
    }
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Compute(inner) => inner,
            other => candle_core::Error::Msg(other.to_string()),
        }
    }
}
