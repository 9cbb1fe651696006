//! Reading a file that may be packed, cut off or far longer than it should be: never more bytes than asked for.

use super::error::{Error, Result};
use super::file_error::FileError;
use crate::base::interrupt;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file of a data set: on disk or inside the program, plain or packed with gzip.
#[derive(Debug)]
pub struct Input {
    shown: String,
    packed: bool,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Disk(PathBuf),
    Embedded(&'static [u8]),
    Memory(Arc<[u8]>),
}

impl Input {
    /// The file at `path`.
    pub fn file(path: PathBuf, packed: bool) -> Self {
        Self { shown: path.display().to_string(), packed, place: Place::Disk(path) }
    }

    /// A file that comes with the program, called `shown` in errors.
    pub fn embedded(shown: String, bytes: &'static [u8], packed: bool) -> Self {
        Self { shown, packed, place: Place::Embedded(bytes) }
    }

    /// A file that was read out of an archive, called `shown` in errors.
    pub fn memory(shown: String, bytes: Vec<u8>) -> Self {
        Self { shown, packed: false, place: Place::Memory(bytes.into()) }
    }

    /// The path as errors show it.
    pub fn shown(&self) -> String {
        self.shown.clone()
    }

    /// The path on disk, where it is on disk.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Disk(path) => Some(path),
            Place::Embedded(_) | Place::Memory(_) => None,
        }
    }

    /// The path of a file that has to be on disk and not packed, since it is not read from its beginning to its end.
    pub fn unpacked_path(&self) -> Result<&Path> {
        let message = "is packed; a file of this format has to be unpacked".to_owned();
        match self.path().filter(|_| !self.packed) {
            Some(path) => Ok(path),
            None => Err(FileError::Content { file: self.shown(), message }.into()),
        }
    }

    /// Is it packed with gzip?
    pub fn packed(&self) -> bool {
        self.packed
    }

    /// The contents, unpacked, from the start.
    pub fn open(&self) -> Result<Box<dyn Read>> {
        let raw: Box<dyn Read> = match &self.place {
            Place::Disk(path) => Box::new(open_file(path, &self.shown)?),
            Place::Embedded(bytes) => Box::new(*bytes),
            Place::Memory(bytes) => Box::new(io::Cursor::new(bytes.clone())),
        };
        // All members of the file, so that bytes after the first are seen and refused.
        Ok(if self.packed { Box::new(MultiGzDecoder::new(BufReader::new(raw))) } else { raw })
    }

    /// The first `limit + 1` bytes, or all if there are fewer. Memory grows with what is there, not with `limit`.
    pub fn read_at_most(&self, limit: u64, expected: &str) -> Result<Vec<u8>> {
        let mut reader = self.open()?;
        let mut bytes = Vec::new();
        let wanted = limit.saturating_add(1);
        while (bytes.len() as u64) < wanted {
            if interrupt::requested() {
                return Err(Error::Interrupted);
            }
            let chunk = (wanted - bytes.len() as u64).min(1 << 20);
            let got = reader.by_ref().take(chunk).read_to_end(&mut bytes).map_err(|e| self.failed(e))?;
            if got == 0 {
                break;
            }
        }
        if bytes.is_empty() {
            return Err(FileError::Empty { file: self.shown(), expected: expected.into() }.into());
        }
        Ok(bytes)
    }

    /// The size in bytes where it is known without reading.
    pub fn size(&self) -> Option<u64> {
        match &self.place {
            Place::Disk(path) if !self.packed => std::fs::metadata(path).ok().map(|m| m.len()),
            _ => None,
        }
    }

    /// The error for `source`, which came up while this was read.
    pub fn failed(&self, source: io::Error) -> FileError {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match source.kind() {
            UnexpectedEof if self.packed && self.size_on_disk() == Some(0) => {
                FileError::Empty { file: self.shown(), expected: "a gzip file".into() }
            }
            UnexpectedEof if self.packed => {
                FileError::Gzip { file: self.shown(), reason: "the gzip stream is cut off".into() }
            }
            InvalidData | InvalidInput if self.packed => {
                FileError::Gzip { file: self.shown(), reason: format!("broken gzip stream ({source})") }
            }
            _ => FileError::Io { file: self.shown(), source },
        }
    }

    fn size_on_disk(&self) -> Option<u64> {
        match &self.place {
            Place::Disk(path) => std::fs::metadata(path).ok().map(|m| m.len()),
            Place::Embedded(bytes) => Some(bytes.len() as u64),
            Place::Memory(bytes) => Some(bytes.len() as u64),
        }
    }
}

/// Open a regular file; anything else at `path` is an error, and opening a pipe would wait for ever.
pub fn open_file(path: &Path, shown: &str) -> Result<File> {
    let io = |source| FileError::Io { file: shown.into(), source };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(not_a_file(path).into());
    }
    Ok(File::open(path).map_err(io)?)
}

/// The error for a folder, device or pipe at `path`.
pub fn not_a_file(path: &Path) -> FileError {
    let found = if path.is_dir() { "a folder" } else { "a device or pipe" };
    FileError::NotAFile { file: path.display().to_string(), found }
}
