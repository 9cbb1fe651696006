//! What every format gives: the values of all images, and labels that are classes.

use crate::data::error::Result;
use crate::data::file_error::FileError;
use crate::data::manifest::Manifest;

/// What a split file pair holds: the values of all images one after the other, and the labels.
pub type Raw = (Vec<u8>, Vec<u32>);

/// Are all `labels` classes? `file` names them in the error.
pub fn check_labels(file: &str, labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|&l| l as usize >= classes) {
        Some(index) => {
            let value = labels[index].into();
            Err(FileError::Label { file: file.into(), index, value, classes, first: 0 }.into())
        }
        None => Ok(()),
    }
}

/// Label `index` of `file`, whose stored value is `value`, counted from the manifest's first.
pub fn label(manifest: &Manifest, file: &str, index: usize, value: i128) -> Result<u32> {
    let (first, classes) = (manifest.first_label.unwrap_or(0), manifest.classes.get());
    let label = value - i128::from(first);
    match u32::try_from(label).ok().filter(|label| (*label as usize) < classes) {
        Some(label) => Ok(label),
        None => Err(FileError::Label { file: file.into(), index, value, classes, first }.into()),
    }
}

/// All labels of `file`, each counted from the manifest's first.
pub fn labels(manifest: &Manifest, file: &str, stored: impl IntoIterator<Item = i128>) -> Result<Vec<u32>> {
    stored.into_iter().enumerate().map(|(index, value)| label(manifest, file, index, value)).collect()
}

/// Images whose rows and columns were stored swapped, as they are meant: `shape` is that of an image as it is meant.
pub fn transposed<T: Copy>(values: &[T], [c, h, w]: [usize; 3]) -> Vec<T> {
    let plane = |plane: &[T]| (0..h * w).map(|at| plane[at % w * h + at / w]).collect::<Vec<T>>();
    values.chunks_exact((h * w).max(1)).flat_map(plane).take(values.len() / (c * h * w).max(1) * c * h * w).collect()
}
