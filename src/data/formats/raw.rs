//! What every format gives: the values of all images, and labels that are classes.

use crate::data::error::Result;
use crate::data::file_error::FileError;

/// What a split file pair holds: the values of all images one after the other, and the labels.
pub type Raw = (Vec<u8>, Vec<u32>);

/// Are all `labels` classes? `file` names them in the error.
pub fn check_labels(file: &str, labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|&l| l as usize >= classes) {
        Some(index) => Err(FileError::Label { file: file.into(), index, value: labels[index], classes }.into()),
        None => Ok(()),
    }
}
