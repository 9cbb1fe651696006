//! The sources of the program, for tests that read them.

use std::path::{Path, PathBuf};

/// All .rs files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of sources").flatten();
    let all = entries.flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] });
    all.filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}
