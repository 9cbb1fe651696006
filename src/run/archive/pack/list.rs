//! `pack.json`, and what its names and sizes may be.

use crate::base::hex::hex;
use crate::run::recorder::Record;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Component, Path};
use zip::ZipArchive;

/// The ending of a pack's name.
pub const EXTENSION: &str = "workbench";
pub const LIST: &str = "pack.json";
pub const FORMAT: &str = "workbench pack 1";

/// The most that a pack may hold.
const FILES: usize = 10_000;
const BYTES: u64 = 64 << 30;
pub const LIST_BYTES: u64 = 4 << 20;
/// How many times its size a pack may unpack to, beside a little: numbers hardly shrink, texts ten times.
const GROWTH: u64 = 100;
const LITTLE: u64 = 16 << 20;

/// `pack.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    pub format: String,
    /// The run folder's name.
    pub name: String,
    pub files: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub bytes: u64,
    pub sha256: String,
}

/// Is the file at `path` called as packs are?
pub fn is_pack(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// Why `name` is no plain path inside a folder, if it is none. What holds for the strictest file system holds everywhere.
pub fn plain(name: &str) -> Result<(), String> {
    let forbidden = |c: char| c.is_control() || "\\:*?\"<>|".contains(c);
    let bad = |part: &str| part.is_empty() || part.len() > 200 || part.starts_with('.') || part.ends_with(['.', ' ']);
    if !Path::new(name).components().all(|c| matches!(c, Component::Normal(_))) || name.split('/').any(bad) {
        return Err("leads out of the folder, is hidden, empty or too long".into());
    }
    if name.chars().any(forbidden) || name.split('/').count() > 8 {
        return Err("holds signs or levels that no file of a run has".into());
    }
    Ok(())
}

/// Does the record name its own files, and are these there as it says?
pub fn check_record(record: &Record, files: &BTreeMap<String, Entry>) -> Result<(), String> {
    plain(&record.main).map_err(|why| format!("the script's name `{}` {why}", record.main))?;
    record.check_names()?;
    for (name, sum) in &record.files {
        match files.get(name) {
            None => return Err(format!("{name} is missing")),
            Some(entry) if entry.sha256 != *sum => {
                return Err(format!("{name} is not as run.json says: its SHA-256 is {}, not {sum}", entry.sha256));
            }
            Some(_) => {}
        }
    }
    let script = |name: &&String| name.starts_with("source/") || name.starts_with("stdlib/");
    match files.keys().filter(script).find(|name| !record.files.contains_key(*name)) {
        Some(name) => Err(format!("{name} is a script that run.json does not list")),
        None => Ok(()),
    }
}

/// The list of a pack of `size` bytes.
pub fn read_list(archive: &mut ZipArchive<File>, size: u64) -> Result<List, String> {
    let entry = archive.by_name(LIST).map_err(|_| format!("it holds no {LIST}"))?;
    let mut text = vec![];
    entry.take(LIST_BYTES + 1).read_to_end(&mut text).map_err(|e| format!("{LIST} cannot be read ({e})"))?;
    if text.len() as u64 > LIST_BYTES {
        return Err(format!("{LIST} has more than {LIST_BYTES} bytes"));
    }
    let list: List = serde_json::from_reader(Cursor::new(text)).map_err(|e| format!("{LIST} is damaged: {e}"))?;
    if list.format != FORMAT {
        return Err(format!("its format is `{}`, this program reads `{FORMAT}`", list.format));
    }
    plain(&list.name).map_err(|why| format!("the run's name `{}` {why}", list.name.escape_debug()))?;
    let total = list.files.values().try_fold(0_u64, |sum, entry| sum.checked_add(entry.bytes));
    let most = BYTES.min(size.saturating_mul(GROWTH) + LITTLE);
    if list.files.len() > FILES || total.is_none_or(|total| total > most) {
        return Err(format!(
            "it lists {} files of {} bytes in all; at most {FILES} files and, for a pack of this size, {most} bytes are taken",
            list.files.len(),
            total.map_or("too many".into(), |total| total.to_string())
        ));
    }
    Ok(list)
}

/// Size and SHA-256 of the file at `path`.
pub fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut sum = Sha256::new();
    let bytes = io::copy(&mut Tee { from: File::open(path)?, sum: &mut sum }, &mut io::sink())?;
    Ok((bytes, hex(&sum.finalize())))
}

/// Hands on what it reads, and adds it to a sum.
pub struct Tee<'a, R> {
    pub from: R,
    pub sum: &'a mut Sha256,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.sum.update(&buffer[..n]);
        Ok(n)
    }
}
