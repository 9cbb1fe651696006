//! NumPy's .npz: a zip archive of .npy files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// An opened archive.
pub struct Npz(ZipArchive<BufReader<File>>);

impl Npz {
    /// The archive at `path`.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        ZipArchive::new(BufReader::new(file)).map(Self).map_err(|e| e.to_string())
    }

    /// The names of its arrays, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.0.file_names().flatten().filter_map(|n| n.strip_suffix(".npy").map(str::to_owned)).collect();
        names.sort_unstable();
        names
    }

    /// Calls `work` with the reader of the array called `name`; nothing where there is none.
    pub fn with<R>(&mut self, name: &str, work: impl FnOnce(&mut dyn Read) -> R) -> Option<R> {
        let mut member = self.0.by_name(&format!("{name}.npy")).ok()?;
        Some(work(&mut member))
    }
}
