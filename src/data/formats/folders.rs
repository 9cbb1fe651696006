//! Pictures in folders. A file lists the classes, one per line; labels count them in alphabetical order. A split is either
//! a folder that holds a folder for each class, or a folder with a file of annotations: lines of a picture's name, a tab
//! and its class; what follows another tab is not used. Pictures are JPEG, PNG, BMP or WebP files, ordered by the numbers in their
//! names. All are decoded before the first batch, in parallel, so that a broken one is told at once.

use super::picture;
use super::raw::Raw;
use crate::base::interrupt;
use crate::base::text;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::manifest::{Manifest, PlainName, SplitFiles};
use crate::data::read::Input;
use rayon::prelude::*;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// The longest list of classes or annotations that is read.
const LIST_BYTES: u64 = 1 << 26;

/// The classes of a data set, in the order of the labels.
pub struct Classes {
    /// The file that names them.
    list: String,
    names: Vec<String>,
}

impl Classes {
    /// Read the list `input`.
    pub fn read(input: &Input) -> Result<Self> {
        let list = input.shown();
        let mut names = Vec::new();
        for (line, text) in lines(input)?.iter().enumerate() {
            // It becomes the name of a folder.
            if !PlainName::allows(text) {
                let message = format!("expected a class, which is a plain name, found `{}`", text.escape_debug());
                return Err(FileError::Row { file: list, line: line + 1, message }.into());
            }
            names.push(text.clone());
        }
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(FileError::Content { file: list, message: format!("names {} twice", pair[0]) }.into()),
            None => Ok(Self { list, names }),
        }
    }

    /// The number of classes that are listed.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The file that names them.
    pub fn list(&self) -> &str {
        &self.list
    }

    /// Their names, in the order of the labels.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn label(&self, class: &str) -> Option<u32> {
        self.names.binary_search_by(|name| name.as_str().cmp(class)).ok().map(|i| i as u32)
    }
}

/// Where a picture is, and its label.
pub type Labelled = (PathBuf, u32);

/// Read the first `wanted` images of the split called `name`; `root` is the folder that holds `split.folder`. Only the
/// pictures that are wanted have to be there.
pub fn load(manifest: &Manifest, name: &'static str, root: &Path, classes: &Classes, wanted: usize) -> Result<Raw> {
    let split = manifest.split(name);
    let folder = root.join(split.folder.as_ref().map_or("", PlainName::as_str));
    let (source, mut pictures) = match &split.annotations {
        Some(file) => annotated(&folder, file.as_str(), split, classes, wanted)?,
        None => (folder.display().to_string(), in_class_folders(&folder, split, classes, wanted)?),
    };
    let (expected, found) = (split.size(), pictures.len());
    if found < wanted {
        let enough = (found > 0).then_some((name, found));
        return Err(FileError::TooFew { file: source, expected: wanted, found, enough }.into());
    }
    if wanted == expected && found > expected {
        let found = found.to_string();
        return Err(FileError::Count { file: source, what: "images", expected: expected as u64, found }.into());
    }
    pictures.truncate(wanted);
    let look = manifest.pictures.clone().unwrap_or_default();
    decode(manifest.shape(), &pictures, |path, image| picture::read(path, manifest.shape(), &look, image))
}

/// All pictures at once, on all threads, each by `read`.
pub fn decode(
    shape: [usize; 3],
    pictures: &[Labelled],
    read: impl Fn(&Path, &mut [u8]) -> Result<()> + Sync,
) -> Result<Raw> {
    let pixels = shape.iter().product();
    let mut values = vec![0; pictures.len() * pixels];
    let read = |(image, (path, _)): (&mut [u8], &Labelled)| {
        if interrupt::requested() { Err(Error::Interrupted) } else { read(path, image) }
    };
    // The first error in the order of the images, whichever thread comes upon one first.
    let images = values.par_chunks_exact_mut(pixels).zip(pictures);
    match images.find_map_first(|one| read(one).err()) {
        Some(error) => Err(error),
        None => Ok((values, pictures.iter().map(|(_, label)| *label).collect())),
    }
}

/// The pictures of the classes that are wanted, in turn.
fn in_class_folders(folder: &Path, split: &SplitFiles, classes: &Classes, wanted: usize) -> Result<Vec<Labelled>> {
    // Classes beyond the first `wanted` have no picture among those.
    let folders = classes.names.iter().take(wanted).map(|class| {
        let folder = folder.join(class);
        let folder = split.subfolder.as_ref().map_or(folder.clone(), |s| folder.join(s.as_str()));
        if interrupt::requested() {
            return Err(Error::Interrupted);
        }
        pictures_in(&folder, classes).map(|names| (folder, names))
    });
    Ok(in_turn(&folders.collect::<Result<Vec<_>>>()?))
}

/// The first picture of every class, then the second of every class, and so on: the first `n` hold as many of each class.
/// `folders` are those of the classes, each with the names of its pictures.
pub fn in_turn(folders: &[(PathBuf, Vec<String>)]) -> Vec<Labelled> {
    let longest = folders.iter().map(|(_, names)| names.len()).max().unwrap_or(0);
    let mut pictures = Vec::new();
    for round in 0..longest {
        let of_round = folders
            .iter()
            .enumerate()
            .filter_map(|(label, (folder, names))| names.get(round).map(|name| (folder.join(name), label as u32)));
        pictures.extend(of_round);
    }
    pictures
}

/// The names of the pictures in the folder of a listed class, in order; at least one.
fn pictures_in(folder: &Path, classes: &Classes) -> Result<Vec<String>> {
    let missing = |why| {
        let (folder, list) = (folder.display().to_string(), classes.list.clone());
        FileError::ClassFolder { folder, why, list }
    };
    match picture_names(folder) {
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(missing("does not exist").into())
        }
        Ok(names) if names.is_empty() => Err(missing("holds no JPEG or PNG file").into()),
        names => Ok(names?),
    }
}

/// The names of the pictures in `folder`, in order.
pub fn picture_names(folder: &Path) -> std::result::Result<Vec<String>, FileError> {
    let io = |source| FileError::Io { file: folder.display().to_string(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        // Names that are no text are none that a data set was published with.
        names.extend(name.to_str().filter(|n| picture::is_name(n)).map(str::to_owned));
    }
    names.sort_unstable_by(|a, b| by_number(a, b));
    Ok(names)
}

/// The pictures that the annotations list, in order, and the path of the annotations.
fn annotated(
    folder: &Path,
    file: &str,
    split: &SplitFiles,
    classes: &Classes,
    wanted: usize,
) -> Result<(String, Vec<Labelled>)> {
    let input = Input::file(folder.join(file), false);
    let shown = input.shown();
    let fail = |line: usize, message| FileError::Row { file: shown.clone(), line: line + 1, message };
    let mut rows = Vec::new();
    for (line, text) in lines(&input)?.into_iter().enumerate() {
        let mut columns = text.split('\t');
        let (Some(picture), Some(class)) = (columns.next(), columns.next()) else {
            let found = text.escape_debug();
            return Err(fail(line, format!("expected a picture, a tab and its class, found `{found}`")).into());
        };
        if !PlainName::allows(picture) {
            let found = picture.escape_debug();
            return Err(fail(line, format!("expected a picture's plain name, found `{found}`")).into());
        }
        let Some(label) = classes.label(class) else {
            let message = format!("unknown class {}; {} does not name it", class.escape_debug(), classes.list);
            return Err(fail(line, message).into());
        };
        rows.push((picture.to_owned(), label, line));
    }
    rows.sort_unstable_by(|(a, _, i), (b, _, j)| by_number(a, b).then(i.cmp(j)));
    if let Some(pair) = rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let message = format!("lists {} again, which is also in line {}", pair[1].0, pair[0].2 + 1);
        return Err(fail(pair[1].2, message).into());
    }
    let inner = split.subfolder.as_ref().map_or(folder.into(), |s| folder.join(s.as_str()));
    for (picture, _, line) in rows.iter().take(wanted) {
        if !inner.join(picture).is_file() {
            let message = format!("lists {picture}, which is not in {}; unpack the data set again", inner.display());
            return Err(fail(*line, message).into());
        }
    }
    let pictures = rows.into_iter().map(|(picture, label, _)| (inner.join(picture), label)).collect();
    Ok((shown, pictures))
}

/// The lines of a list, without their ends.
fn lines(input: &Input) -> Result<Vec<String>> {
    let bytes = input.read_at_most(LIST_BYTES, "a list, one entry per line")?;
    let fail = |message: String| FileError::Content { file: input.shown(), message };
    if bytes.len() as u64 > LIST_BYTES {
        return Err(fail(format!("longer than {LIST_BYTES} bytes; is this a list?")).into());
    }
    let text = text::utf8(bytes).map_err(fail)?;
    Ok(text::plain(&text).lines().map(str::to_owned).collect())
}

/// Names in the order of the numbers in them: `a_2` before `a_10`. Equal numbers with more leading zeros come later.
fn by_number(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    while let (Some(first), Some(second)) = (x.first(), y.first()) {
        let (order, skip_x, skip_y) = if first.is_ascii_digit() && second.is_ascii_digit() {
            let digits = |s: &[u8]| s.iter().take_while(|b| b.is_ascii_digit()).count();
            let zeros = |s: &[u8]| s.iter().take_while(|b| **b == b'0').count();
            let ((n, m), (i, j)) = ((digits(x), digits(y)), (zeros(x), zeros(y)));
            // Without leading zeros the longer number is the greater.
            ((n - i).cmp(&(m - j)).then_with(|| x[i..n].cmp(&y[j..m])), n, m)
        } else {
            (first.cmp(second), 1, 1)
        };
        if order != Ordering::Equal {
            return order;
        }
        (x, y) = (&x[skip_x..], &y[skip_y..]);
    }
    x.len().cmp(&y.len()).then(a.len().cmp(&b.len())).then(a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::by_number;

    #[test]
    fn names_are_ordered_by_their_numbers() {
        let ordered = ["1.png", "a.png", "a1.png", "a01.png", "a2b10.png", "a2b11.png", "a10.png", "a10b.png", "b.png"];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(by_number(a, b), i.cmp(&j), "{a} and {b}");
            }
        }
    }
}
