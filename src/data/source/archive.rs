//! Archives that data sets are published in: .tar, .tar.gz (.tgz) and .zip, unpacked to a folder of their own that goes away
//! again
//!
//! Nothing is written outside that folder: only plain files and folders are taken, by relative paths of plain names. What
//! an archive unpacks to is limited, so that a small file cannot fill the disk.

use crate::base::interrupt;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::manifest::PlainName;
use crate::data::read::open_file;
use flate2::read::GzDecoder;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use tempfile::TempDir;

/// The most that is unpacked: more than any data set here, less than a disk.
const BYTES: u64 = 16 << 30;
const FILES: usize = 1 << 20;

/// Unpack the archive at `path`.
pub fn unpack(path: &Path) -> Result<TempDir> {
    let shown = path.display().to_string();
    let file = open_file(path, &shown)?;
    // Beside the archive there is room for it, more likely than in the system's folder for temporary files.
    let beside = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = TempDir::new_in(beside).or_else(|_| TempDir::new());
    let folder = folder.map_err(|source| FileError::Io { file: shown.clone(), source })?;
    let mut taker = Taker { shown: &shown, folder: folder.path(), bytes: BYTES, files: FILES };
    let lower = shown.to_ascii_lowercase();
    if lower.ends_with(".tar.gz") || lower.ends_with(".tgz") {
        taker.tar(GzDecoder::new(BufReader::new(file)))?;
    } else if lower.ends_with(".tar") {
        taker.tar(BufReader::new(file))?;
    } else if lower.ends_with(".zip") {
        taker.zip(file)?;
    } else {
        return Err(taker.fail("is neither a folder nor an archive (.tar, .tar.gz, .tgz or .zip)").into());
    }
    Ok(folder)
}

/// The files of the tape archive at `path`, packed with gzip or not, that `wanted` gives a name to, each the first of its name;
/// at most `limit` bytes together.
pub fn members(path: &Path, limit: u64, wanted: &dyn Fn(&str) -> Option<String>) -> Result<BTreeMap<String, Vec<u8>>> {
    let shown = path.display().to_string();
    let mut taker = Taker { shown: &shown, folder: path, bytes: limit, files: FILES };
    let file = BufReader::new(open_file(path, &shown)?);
    let mut found = BTreeMap::new();
    taker.entries(GzDecoder::new(file), &mut |taker, path, entry| {
        let Some(name) = path.file_name().and_then(|n| n.to_str()).and_then(wanted) else { return Ok(()) };
        let mut bytes = vec![];
        entry.take(taker.bytes + 1).read_to_end(&mut bytes).map_err(|e| taker.stopped(e))?;
        let more = || taker.fail(format!("unpacks to more than {limit} bytes"));
        taker.bytes = taker.bytes.checked_sub(bytes.len() as u64).ok_or_else(more)?;
        found.entry(name).or_insert(bytes);
        Ok(())
    })?;
    Ok(found)
}

/// The most that a tape archive may hold between two entries.
const HEADERS: u64 = 1 << 20;

/// A reader that ends with an error where more is read than is left, and hears Ctrl-C.
struct Limited<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested() {
            return Err(io::Error::other(interrupt::MESSAGE));
        }
        let n = self.inner.read(buffer)?;
        let left = self.left.get().checked_sub(n as u64).ok_or_else(|| io::Error::other("a header without end"))?;
        self.left.set(left);
        Ok(n)
    }
}

struct Taker<'a> {
    shown: &'a str,
    folder: &'a Path,
    bytes: u64,
    files: usize,
}

impl Taker<'_> {
    fn fail(&self, message: impl Into<String>) -> FileError {
        FileError::Content { file: self.shown.into(), message: message.into() }
    }

    fn broken(&self, e: impl std::fmt::Display) -> FileError {
        self.fail(format!("broken archive ({e}); copy or download it again"))
    }

    fn stopped(&self, e: impl std::fmt::Display) -> Error {
        if interrupt::requested() { Error::Interrupted } else { self.broken(e).into() }
    }

    fn tar(&mut self, reader: impl Read) -> Result<()> {
        self.entries(reader, &mut |taker, path, entry| taker.take(path, entry))
    }

    /// Calls `work` with each file of a tape archive and its path.
    fn entries(
        &mut self,
        reader: impl Read,
        work: &mut dyn FnMut(&mut Self, &Path, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        // What an entry is called may itself be an entry, which is read whole before anybody sees it.
        let shared = Rc::new(Cell::new(HEADERS));
        let mut archive = tar::Archive::new(Limited { inner: reader, left: shared.clone() });
        for entry in archive.entries().map_err(|e| self.stopped(e))? {
            let mut entry = entry.map_err(|e| self.stopped(e))?;
            // Room for the entry itself, its padding, and what may come before the next one.
            shared.set(entry.size().saturating_add(HEADERS));
            let path = entry.path().map_err(|e| self.stopped(e))?.into_owned();
            match entry.header().entry_type() {
                tar::EntryType::Regular => work(self, &path, &mut entry)?,
                tar::EntryType::Directory | tar::EntryType::XGlobalHeader | tar::EntryType::XHeader => {}
                other => {
                    let message = format!("{} is {other:?}; expected files and folders alone", path.display());
                    return Err(self.fail(message).into());
                }
            }
        }
        Ok(())
    }

    fn zip(&mut self, file: File) -> Result<()> {
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| self.broken(e))?;
        for at in 0..archive.len() {
            let mut entry = archive.by_index(at).map_err(|e| self.broken(e))?;
            let path = PathBuf::from(entry.name().map_err(|e| self.broken(e))?.into_owned());
            if entry.is_symlink() {
                return Err(self
                    .fail(format!("{} is a link; expected files and folders alone", path.display()))
                    .into());
            }
            if entry.is_file() {
                self.take(&path, &mut entry)?;
            }
        }
        Ok(())
    }

    /// One file of the archive to its place, within what is left.
    fn take(&mut self, path: &Path, from: &mut dyn Read) -> Result<()> {
        if interrupt::requested() {
            return Err(Error::Interrupted);
        }
        let plain = |c: Component| matches!(c, Component::Normal(n) if n.to_str().is_some_and(PlainName::allows));
        let mut parts = path.components().filter(|c| *c != Component::CurDir);
        let hidden = |c: Component| matches!(c, Component::Normal(n) if n.to_str().is_some_and(|n| n.starts_with('.')));
        // What some systems add beside each file.
        if path.components().any(hidden) || path.starts_with("__MACOSX") {
            return Ok(());
        }
        if !parts.clone().all(plain) || parts.next().is_none() {
            return Err(self.fail(format!("names {}, which is no plain path inside a folder", path.display())).into());
        }
        self.files = self.files.checked_sub(1).ok_or_else(|| self.fail(format!("holds more than {FILES} files")))?;
        let to = self.folder.join(path);
        let failed = |source| FileError::Io { file: to.display().to_string(), source };
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut out = File::create_new(&to).map_err(failed)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.stopped(e)),
            };
            let more = format!("unpacks to more than {BYTES} bytes");
            self.bytes = self.bytes.checked_sub(n as u64).ok_or_else(|| self.fail(more))?;
            out.write_all(&buffer[..n]).map_err(failed)?;
        }
        Ok(())
    }
}
