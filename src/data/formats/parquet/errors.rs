//! What the reader's errors mean: a broken file, or a whole one of a kind that is not read here.

use crate::data::error::Error;
use crate::data::file_error::FileError;
use parquet::errors::ParquetError;

/// An error of the reader: a file that is broken, or a whole one of a kind that is not read here.
pub fn told(file: &str, error: ParquetError) -> Error {
    let text = error.to_string();
    let lower = text.to_ascii_lowercase();
    let unknown = ["nyi", "disabled feature", "not supported", "unsupported", "not yet implemented", "encrypt"];
    if unknown.iter().any(|word| lower.contains(word)) {
        let message = format!(
            "uses something of Parquet that is not read here ({text}); write it again without, for instance compressed by zstd \
             and not encrypted"
        );
        return FileError::Content { file: file.into(), message }.into();
    }
    broken(file, text)
}

pub fn broken(file: &str, why: impl std::fmt::Display) -> Error {
    let message = format!("broken Parquet file ({why}); fetch or copy it again");
    FileError::Content { file: file.into(), message }.into()
}
