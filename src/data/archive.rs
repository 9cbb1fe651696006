//! Archives that data sets are published in: .tar, .tar.gz (.tgz) and .zip, unpacked to a folder of their own that goes away
//! again
//!
//! Nothing is written outside that folder: only plain files and folders are taken, by relative paths of plain names. What
//! an archive unpacks to is limited, so that a small file cannot fill the disk.

use super::error::Result;
use super::file_error::FileError;
use super::manifest::PlainName;
use super::read::open_file;
use crate::compute::interrupt;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
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

    fn tar(&mut self, reader: impl Read) -> Result<()> {
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(|e| self.broken(e))? {
            let mut entry = entry.map_err(|e| self.broken(e))?;
            let path = entry.path().map_err(|e| self.broken(e))?.into_owned();
            match entry.header().entry_type() {
                tar::EntryType::Regular => self.take(&path, &mut entry)?,
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
    fn take(&mut self, path: &Path, from: &mut impl Read) -> Result<()> {
        if interrupt::requested() {
            return Err(super::Error::Interrupted);
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
                Err(e) => return Err(self.broken(e).into()),
            };
            let more = format!("unpacks to more than {BYTES} bytes");
            self.bytes = self.bytes.checked_sub(n as u64).ok_or_else(|| self.fail(more))?;
            out.write_all(&buffer[..n]).map_err(failed)?;
        }
        Ok(())
    }
}
