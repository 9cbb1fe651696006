//! The columns of a Parquet file that images and labels stand in: found by name, read as what they are, nulls refused as nulls.

use super::errors::{broken, told};
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader};

/// The labels of a row group.
pub enum Labels {
    Numbers(Vec<i64>),
    Names(Vec<String>),
}

/// The place of the column called `name`.
pub fn find(reader: &dyn FileReader, file: &str, name: &str) -> Result<usize> {
    let paths = paths(reader);
    let place = paths.iter().position(|p| p == name);
    let place = place.ok_or_else(|| missing(file, name, &paths))?;
    single(reader, file, name, place)
}

/// The place of the column of pictures called `name`, or of the bytes in it.
pub fn find_image(reader: &dyn FileReader, file: &str, name: &str) -> Result<usize> {
    let (paths, inner) = (paths(reader), format!("{name}.bytes"));
    let place = paths.iter().position(|p| *p == inner).or_else(|| paths.iter().position(|p| p == name));
    let place = place.ok_or_else(|| missing(file, &inner, &paths))?;
    single(reader, file, name, place)
}

fn paths(reader: &dyn FileReader) -> Vec<String> {
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    schema.columns().iter().map(|c| c.path().string()).collect()
}

fn missing(file: &str, name: &str, paths: &[String]) -> Error {
    let message = format!("no column `{name}`; its columns are {}", paths.join(", "));
    FileError::Content { file: file.into(), message }.into()
}

/// `place`, if each row has one value there.
fn single(reader: &dyn FileReader, file: &str, name: &str, place: usize) -> Result<usize> {
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    if schema.column(place).max_rep_level() == 0 {
        return Ok(place);
    }
    let message = format!("its column `{name}` holds lists; expected one value in each row");
    Err(FileError::Content { file: file.into(), message }.into())
}

/// Does the column at `place` hold texts or bytes?
pub fn holds_text(reader: &dyn FileReader, place: usize) -> bool {
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    schema.column(place).physical_type() == Type::BYTE_ARRAY
}

/// The levels that tell a value from a null, and how many records, values and levels were read.
type Read = std::result::Result<(usize, usize, usize), ParquetError>;

/// Refuse a null among `rows` rows: a level below `full` is one. `before` counts the rows above.
fn check(
    (file, name): (&str, &str),
    (read, levels, values): (Read, &[i16], usize),
    (rows, full, before): (usize, i16, usize),
) -> Result<()> {
    let (records, ..) = read.map_err(|e| told(file, e))?;
    if let Some(at) = levels.iter().position(|level| *level < full) {
        let message = format!("row {}: `{name}` is null; take out rows without a value", before + at);
        return Err(FileError::Content { file: file.into(), message }.into());
    }
    if records != rows || values != rows {
        return Err(broken(file, format!("{values} values of `{name}` for {rows} rows")));
    }
    Ok(())
}

/// The level of a value that is there.
fn full(group: &dyn RowGroupReader, place: usize) -> i16 {
    group.metadata().column(place).column_descr().max_def_level()
}

/// The labels of a row group of `rows` rows.
pub fn labels(group: &dyn RowGroupReader, file: &str, (place, name): (usize, &str), rows: usize) -> Result<Labels> {
    let (column, full) = (group.get_column_reader(place).map_err(|e| told(file, e))?, full(group, place));
    let mut levels = vec![];
    macro_rules! read {
        ($column:ident) => {{
            let mut values = vec![];
            let read = $column.read_records(rows, Some(&mut levels), None, &mut values);
            check((file, name), (read, &levels, values.len()), (rows, full, 0))?;
            values
        }};
    }
    Ok(match column {
        ColumnReader::Int64ColumnReader(mut column) => Labels::Numbers(read!(column)),
        ColumnReader::Int32ColumnReader(mut column) => {
            Labels::Numbers(read!(column).into_iter().map(i64::from).collect())
        }
        ColumnReader::BoolColumnReader(mut column) => {
            Labels::Numbers(read!(column).into_iter().map(i64::from).collect())
        }
        ColumnReader::ByteArrayColumnReader(mut column) => {
            let text = |(at, value): (usize, ByteArray)| {
                let text = std::str::from_utf8(value.data()).map(str::to_owned);
                let message = format!("row {at}: `{name}` is no UTF-8 text");
                text.map_err(|_| Error::from(FileError::Content { file: file.into(), message }))
            };
            Labels::Names(read!(column).into_iter().enumerate().map(text).collect::<Result<_>>()?)
        }
        _ => {
            let found = group.metadata().column(place).column_type();
            let message = format!("its column `{name}` is of type {found}; expected whole numbers or names");
            return Err(FileError::Content { file: file.into(), message }.into());
        }
    })
}

/// The pictures of a row group.
pub struct Pictures<'a> {
    file: &'a str,
    name: &'a str,
    full: i16,
    column: ColumnReader,
}

impl<'a> Pictures<'a> {
    pub fn open(group: &dyn RowGroupReader, file: &'a str, (place, name): (usize, &'a str)) -> Result<Self> {
        let column = group.get_column_reader(place).map_err(|e| told(file, e))?;
        let bytes =
            matches!(column, ColumnReader::ByteArrayColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_));
        if !bytes {
            let found = group.metadata().column(place).column_type();
            let message = format!("its column `{name}` is of type {found}; expected the bytes of picture files");
            return Err(FileError::Content { file: file.into(), message }.into());
        }
        Ok(Self { file, name, full: full(group, place), column })
    }

    /// The next `rows` pictures, of which `before` have been read.
    pub fn read(&mut self, rows: usize, before: usize) -> Result<Vec<ByteArray>> {
        let mut levels = vec![];
        let (read, pictures) = match &mut self.column {
            ColumnReader::ByteArrayColumnReader(column) => {
                let mut values = Vec::<ByteArray>::new();
                (column.read_records(rows, Some(&mut levels), None, &mut values), values)
            }
            ColumnReader::FixedLenByteArrayColumnReader(column) => {
                let mut values = vec![];
                let read = column.read_records(rows, Some(&mut levels), None, &mut values);
                (read, values.into_iter().map(ByteArray::from).collect())
            }
            _ => return Err(broken(self.file, "the images are no bytes")),
        };
        check((self.file, self.name), (read, &levels, pictures.len()), (rows, self.full, before))?;
        Ok(pictures)
    }
}
