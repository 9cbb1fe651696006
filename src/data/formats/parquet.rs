//! Parquet as the hub keeps image sets: one row for each image, its PNG or JPEG bytes in a column `image.bytes` or
//! `img.bytes`, its label in a column of whole numbers
//!
//! Read by column chunks. Rows are counted before they are read and a picture's size is checked before it is decoded; a
//! chunk that says it unpacks to more than a mebibyte for each row is refused.

use super::check_labels;
use super::picture;
use super::raw::Raw;
use crate::base::interrupt;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::manifest::Manifest;
use crate::data::read::open_file;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use rayon::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Rows that are read and decoded at a time.
const ROWS: usize = 4096;
/// Bytes of a picture and all that goes with it, at the most.
const LARGEST_ROW: i64 = 1 << 20;

/// Which columns hold what.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// The struct of a picture's bytes.
    pub image: &'a str,
    /// The labels.
    pub label: &'a str,
}

/// All images and labels of `files`, in their order; `expected` images in all.
pub fn load(manifest: &Manifest, files: &[impl AsRef<Path>], columns: Columns, expected: usize) -> Result<Raw> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in files {
        let file = file.as_ref();
        let shown = file.display().to_string();
        // The reader is made for files that were written well; what is wrong with others it may tell by a panic.
        let read = catch_unwind(AssertUnwindSafe(|| read(manifest, file, columns, expected, &mut pixels, &mut labels)));
        read.unwrap_or_else(|_| Err(broken(&shown, "its pages contradict its header")))?;
    }
    if labels.len() != expected {
        let (file, found) = (names(files), labels.len().to_string());
        return Err(FileError::Count { file, what: "rows", expected: expected as u64, found }.into());
    }
    check_labels(&names(files), &labels, manifest.classes.get())?;
    Ok((pixels, labels))
}

fn names(files: &[impl AsRef<Path>]) -> String {
    files.iter().map(|f| f.as_ref().display().to_string()).collect::<Vec<_>>().join(", ")
}

fn broken(file: &str, why: impl std::fmt::Display) -> Error {
    let message = format!("broken Parquet file ({why}); fetch or copy it again");
    FileError::Content { file: file.into(), message }.into()
}

fn read(
    manifest: &Manifest,
    file: &Path,
    columns: Columns,
    expected: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u32>,
) -> Result<()> {
    let shown = file.display().to_string();
    let fail = |e: ParquetError| broken(&shown, e);
    let source = open_file(file, &shown)?;
    if source.metadata().is_ok_and(|m| m.len() == 0) {
        return Err(FileError::Empty { file: shown, expected: "a Parquet file".into() }.into());
    }
    let reader = SerializedFileReader::new(source).map_err(fail)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let paths: Vec<String> = schema.columns().iter().map(|c| c.path().string()).collect();
    let find = |wanted: &str| {
        paths.iter().position(|p| p == wanted).ok_or_else(|| {
            let message = format!("no column `{wanted}`; its columns are {}", paths.join(", "));
            Error::from(FileError::Content { file: shown.clone(), message })
        })
    };
    let (image, label) = (find(&format!("{}.bytes", columns.image))?, find(columns.label)?);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(fail)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(usize::MAX);
        if rows > expected - labels.len() {
            let found = format!("{} or more", labels.len().saturating_add(rows));
            return Err(FileError::Count { file: shown, what: "rows", expected: expected as u64, found }.into());
        }
        let most = (rows as i64).saturating_mul(LARGEST_ROW).saturating_add(LARGEST_ROW);
        if group.metadata().columns().iter().any(|c| c.uncompressed_size() > most) {
            return Err(broken(&shown, format!("it unpacks to more than {LARGEST_ROW} bytes a row")));
        }
        let rows = Rows { file: &shown, manifest, image, label, rows };
        rows.read(group.as_ref(), pixels, labels)?;
    }
    Ok(())
}

/// One row group.
struct Rows<'a> {
    file: &'a str,
    manifest: &'a Manifest,
    image: usize,
    label: usize,
    rows: usize,
}

impl Rows<'_> {
    fn read(&self, group: &dyn RowGroupReader, pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<()> {
        let fail = |e: ParquetError| broken(self.file, e);
        let mut column = group.get_column_reader(self.label).map_err(fail)?;
        labels.extend(self.labels(&mut column, labels.len())?);
        let ColumnReader::ByteArrayColumnReader(mut column) = group.get_column_reader(self.image).map_err(fail)? else {
            return Err(broken(self.file, "the images are no bytes"));
        };
        let mut done = 0;
        while done < self.rows {
            if interrupt::requested() {
                return Err(Error::Interrupted);
            }
            let (mut pictures, mut levels) = (Vec::<ByteArray>::new(), vec![]);
            let wanted = ROWS.min(self.rows - done);
            let (rows, _, _) = column.read_records(wanted, Some(&mut levels), None, &mut pictures).map_err(fail)?;
            if rows == 0 || pictures.len() != rows {
                return Err(broken(self.file, format!("row {} has no image", done + pictures.len())));
            }
            self.decode(&pictures, done, pixels)?;
            done += rows;
        }
        Ok(())
    }

    fn labels(&self, column: &mut ColumnReader, before: usize) -> Result<Vec<u32>> {
        let mut levels = vec![];
        let fail = |e: ParquetError| broken(self.file, e);
        let wide = match column {
            ColumnReader::Int64ColumnReader(column) => {
                let mut values = vec![];
                column.read_records(self.rows, Some(&mut levels), None, &mut values).map_err(fail)?;
                values
            }
            ColumnReader::Int32ColumnReader(column) => {
                let mut values = vec![];
                column.read_records(self.rows, Some(&mut levels), None, &mut values).map_err(fail)?;
                values.into_iter().map(i64::from).collect()
            }
            _ => return Err(broken(self.file, "the labels are no whole numbers")),
        };
        if wide.len() != self.rows {
            return Err(broken(self.file, format!("{} labels for {} rows", wide.len(), self.rows)));
        }
        let classes = self.manifest.classes.get();
        let label = |(at, value): (usize, i64)| {
            u32::try_from(value).map_err(|_| {
                let message =
                    format!("label {} (counted from 0) is {value}; expected 0..={}", before + at, classes - 1);
                FileError::Content { file: self.file.into(), message }.into()
            })
        };
        wide.into_iter().enumerate().map(label).collect()
    }

    /// Decode pictures on all threads; the first error in their order is the one that is told.
    fn decode(&self, pictures: &[ByteArray], before: usize, pixels: &mut Vec<u8>) -> Result<()> {
        let (size, start) = (self.manifest.pixels(), pixels.len());
        pixels.resize(start + pictures.len() * size, 0);
        let one = |((at, picture), image): ((usize, &ByteArray), &mut [u8])| {
            let name = format!("{}, row {}", self.file, before + at);
            picture::decode_into(picture.data(), self.manifest.shape(), &name, image).err()
        };
        let rooms = pixels[start..].par_chunks_exact_mut(size);
        pictures.par_iter().enumerate().zip(rooms).find_map_first(one).map_or(Ok(()), Err)
    }
}
