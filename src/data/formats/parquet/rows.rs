//! Rows of pictures and labels, in the order of the files, the labels as classes of the manifest.

use super::columns::{self, Labels};
use super::errors::{broken, told};
use super::pages;
use crate::base::interrupt;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::formats::picture;
use crate::data::formats::raw::{self, Raw};
use crate::data::manifest::Manifest;
use crate::data::read::open_file;
use parquet::data_type::ByteArray;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Rows that are read and decoded at a time.
const ROWS: usize = 4096;
/// Bytes of a picture and all that goes with it, at the most.
const LARGEST_ROW: i64 = 1 << 20;
/// Bytes of a page, which those who write them keep to a mebibyte or so.
const LARGEST_PAGE: i64 = 1 << 30;

/// Which columns hold what.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// A picture's bytes, or the struct of them.
    pub image: &'a str,
    /// The labels.
    pub label: &'a str,
}

/// All images and labels of `files`, in their order; `expected` images in all. `names` are those of the classes, for labels that are
/// names.
pub fn load(
    manifest: &Manifest,
    files: &[impl AsRef<Path>],
    columns: Columns,
    names: &[String],
    expected: usize,
) -> Result<Raw> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let by_name = names.iter().zip(0..).map(|(name, label)| (name.as_str(), label)).collect();
    for file in files {
        let shown = file.as_ref().display().to_string();
        guarded(&shown, || {
            let reader = open(file.as_ref(), &shown)?;
            let rows = Rows { path: file.as_ref(), file: &shown, manifest, names: &by_name, expected };
            rows.read(&reader, columns, &mut pixels, &mut labels)
        })?;
    }
    if labels.len() != expected {
        let (file, found) = (shown_all(files), labels.len().to_string());
        return Err(FileError::Count { file, what: "rows", expected: expected as u64, found }.into());
    }
    Ok((pixels, labels))
}

/// The classes that the labels of `files` name, which have to be `classes`; none where labels are numbers.
pub fn names(files: &[impl AsRef<Path>], label: &str, classes: usize) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for file in files {
        let shown = file.as_ref().display().to_string();
        guarded(&shown, || {
            let reader = open(file.as_ref(), &shown)?;
            let column = columns::find(&reader, &shown, label)?;
            if !columns::holds_text(&reader, column) {
                return Ok(());
            }
            for group in 0..reader.num_row_groups() {
                let group = reader.get_row_group(group).map_err(|e| told(&shown, e))?;
                let rows = check_group(group.as_ref(), &[column], file.as_ref(), &shown)?;
                let Labels::Names(all) = columns::labels(group.as_ref(), &shown, (column, label), rows)? else {
                    continue;
                };
                found.extend(all);
                if found.len() > classes {
                    return Err(other_classes(&shown, label, &found, classes));
                }
            }
            Ok(())
        })?;
    }
    match found.is_empty() || found.len() == classes {
        true => Ok(found),
        false => Err(other_classes(&shown_all(files), label, &found, classes)),
    }
}

/// The rows of all `files`.
pub fn count(files: &[impl AsRef<Path>]) -> Result<usize> {
    let rows = |file: &Path| {
        let shown = file.display().to_string();
        guarded(&shown, || Ok(open(file, &shown)?.metadata().file_metadata().num_rows()))
    };
    let rows = files.iter().map(|f| rows(f.as_ref())).collect::<Result<Vec<i64>>>()?;
    Ok(usize::try_from(rows.into_iter().fold(0, i64::saturating_add)).unwrap_or(0))
}

/// The columns of `file`, each with its type, for people.
pub fn describe(file: &Path) -> Result<Vec<(String, String)>> {
    let shown = file.display().to_string();
    guarded(&shown, || {
        let schema = open(file, &shown)?.metadata().file_metadata().schema_descr_ptr();
        Ok(schema.columns().iter().map(|c| (c.path().string(), format!("{:?}", c.physical_type()))).collect())
    })
}

/// The reader is made for files that were written well; what is wrong with others it may tell by a panic.
fn guarded<T>(shown: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(broken(shown, "its pages contradict its header")))
}

fn shown_all(files: &[impl AsRef<Path>]) -> String {
    files.iter().map(|f| f.as_ref().display().to_string()).collect::<Vec<_>>().join(", ")
}

fn other_classes(file: &str, label: &str, found: &BTreeSet<String>, classes: usize) -> Error {
    let shown: Vec<String> = found.iter().take(5).map(|name| name.escape_debug().to_string()).collect();
    let more = if found.len() > 5 { ", ..." } else { "" };
    let message = format!(
        "its column `{label}` names {} classes ({}{more}); the manifest says {classes}: change `classes`, or list all names in \
         their order in `class_names`",
        found.len(),
        shown.join(", ")
    );
    FileError::Content { file: file.into(), message }.into()
}

fn open(file: &Path, shown: &str) -> Result<SerializedFileReader<File>> {
    let source = open_file(file, shown)?;
    if source.metadata().is_ok_and(|m| m.len() == 0) {
        return Err(FileError::Empty { file: shown.into(), expected: "a Parquet file".into() }.into());
    }
    SerializedFileReader::new(source).map_err(|e| told(shown, e))
}

/// The rows of a group of the file at `path` that does not promise more than they can be, nor holds more in `columns` than it
/// promises.
fn check_group(group: &dyn RowGroupReader, columns: &[usize], path: &Path, shown: &str) -> Result<usize> {
    let rows = group.metadata().num_rows();
    let most = rows.saturating_mul(LARGEST_ROW).saturating_add(LARGEST_ROW);
    if group.metadata().columns().iter().any(|c| c.uncompressed_size() > most) {
        return Err(broken(shown, format!("it unpacks to more than {LARGEST_ROW} bytes a row")));
    }
    // A handle of its own: copies of one share the place that is read next.
    let mut file = open_file(path, shown)?;
    for column in columns {
        pages::check(&mut file, shown, group.metadata().column(*column), most.min(LARGEST_PAGE))?;
    }
    Ok(usize::try_from(rows).unwrap_or(usize::MAX))
}

/// Of one file.
struct Rows<'a> {
    path: &'a Path,
    file: &'a str,
    manifest: &'a Manifest,
    names: &'a HashMap<&'a str, u32>,
    expected: usize,
}

impl Rows<'_> {
    fn read(
        &self,
        reader: &SerializedFileReader<File>,
        wanted: Columns,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u32>,
    ) -> Result<()> {
        let image = columns::find_image(reader, self.file, wanted.image)?;
        let label = columns::find(reader, self.file, wanted.label)?;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(|e| told(self.file, e))?;
            let rows = check_group(group.as_ref(), &[image, label], self.path, self.file)?;
            if rows > self.expected - labels.len() {
                let (file, found) = (self.file.into(), format!("{} or more", labels.len().saturating_add(rows)));
                let expected = self.expected as u64;
                return Err(FileError::Count { file, what: "rows", expected, found }.into());
            }
            labels.extend(self.labels(group.as_ref(), (label, wanted.label), rows, labels.len())?);
            let (mut column, mut done) =
                (columns::Pictures::open(group.as_ref(), self.file, (image, wanted.image))?, 0);
            while done < rows {
                if interrupt::requested() {
                    return Err(Error::Interrupted);
                }
                let pictures = column.read(ROWS.min(rows - done), done)?;
                self.decode(&pictures, done, pixels)?;
                done += pictures.len();
            }
        }
        Ok(())
    }

    fn labels(
        &self,
        group: &dyn RowGroupReader,
        column: (usize, &str),
        rows: usize,
        before: usize,
    ) -> Result<Vec<u32>> {
        match columns::labels(group, self.file, column, rows)? {
            Labels::Numbers(all) => {
                let one = |(at, value): (usize, i64)| raw::label(self.manifest, self.file, before + at, value.into());
                all.into_iter().enumerate().map(one).collect()
            }
            Labels::Names(all) => {
                let one = |(at, name): (usize, String)| {
                    self.names.get(name.as_str()).copied().ok_or_else(|| {
                        let name = name.escape_debug();
                        let message = format!("row {at}: `{name}` is none of the classes that are named");
                        FileError::Content { file: self.file.into(), message }.into()
                    })
                };
                all.into_iter().enumerate().map(one).collect()
            }
        }
    }

    /// Decode pictures on all threads; the first error in their order is the one that is told.
    fn decode(&self, pictures: &[ByteArray], before: usize, pixels: &mut Vec<u8>) -> Result<()> {
        let (size, start) = (self.manifest.pixels(), pixels.len());
        pixels.resize(start + pictures.len() * size, 0);
        let look = self.manifest.pictures.clone().unwrap_or_default();
        let one = |((at, picture), image): ((usize, &ByteArray), &mut [u8])| {
            let name = format!("{}, row {}", self.file, before + at);
            picture::decode_into(picture.data(), self.manifest.shape(), &look, &name, image).err()
        };
        let rooms = pixels[start..].par_chunks_exact_mut(size);
        pictures.par_iter().enumerate().zip(rooms).find_map_first(one).map_or(Ok(()), Err)
    }
}
