//! What can be wrong with a single file of a data set: the file, what was expected, what was found, and the way out.

/// Why a file of a data set cannot be used. `file` is a path as shown to the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
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
    #[error("{file} is cut off: expected {expected} bytes{}, found {found}; copy or download it again{}", unpacked(*.packed),
        or_limit(*.enough))]
    CutOff {
        /// The path.
        file: String,
        /// Bytes that it should hold.
        expected: u64,
        /// Bytes that it holds.
        found: u64,
        /// Are these bytes counted after unpacking?
        packed: bool,
        /// The split and how many of its images can be had nevertheless, where that is some.
        enough: Option<(&'static str, usize)>,
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
    #[error("{file}: label {index} (counted from 0) is {value}; expected {first}..={} ({classes} classes{})",
        *.first as usize + .classes - 1, if *.first == 0 { "" } else { ", `first_label` says where they begin" })]
    Label {
        /// The path, or what the labels are.
        file: String,
        /// Which label, from 0.
        index: usize,
        /// Its value.
        value: i128,
        /// The number of classes.
        classes: usize,
        /// The label of the first class.
        first: u32,
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
    /// A text file's line that is not what the format prescribes.
    #[error("{file}, line {line}: {message}")]
    Row {
        /// The path.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A bad picture or list.
    #[error("{file}: {message}")]
    Content {
        /// The path.
        file: String,
        /// What is wrong, and the way out.
        message: String,
    },
    /// The folder of a class that is not there or holds no picture.
    #[error(
        "the class folder {folder} {why}, but {list} names the class; unpack the data set again, or take the class \
        out of the list"
    )]
    ClassFolder {
        /// The path.
        folder: String,
        /// The matter with it.
        why: &'static str,
        /// The file that names the classes.
        list: String,
    },
    /// Fewer images than wanted.
    #[error("{file}: expected {expected} images, found {found}; unpack the data set again{}", or_limit(*.enough))]
    TooFew {
        /// The folder or list of images.
        file: String,
        /// Images of the split, or the limit.
        expected: usize,
        /// Images that there are.
        found: usize,
        /// The split and how many of its images can be had nevertheless, where that is some.
        enough: Option<(&'static str, usize)>,
    },
}

fn unpacked(packed: bool) -> &'static str {
    if packed { " after unpacking" } else { "" }
}

/// The way out that needs no other file: fewer images.
pub(super) fn or_limit(enough: Option<(&'static str, usize)>) -> String {
    enough.map_or_else(String::new, |(split, n)| format!(", or do with what is there: {split}_limit: {n}"))
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
