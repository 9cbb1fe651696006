//! Opening: nothing in a pack is believed before it was checked, from the first byte to the last.

use super::list::{Entry, LIST, LIST_BYTES, List, Tee, check_record, plain, read_list};
use crate::base::hex::hex;
use crate::base::text::plain_bytes;
use crate::run::recorder::{RUN_JSON, Record};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// A pack that has been checked from the first byte to the last.
#[derive(Debug)]
pub struct Pack {
    path: PathBuf,
    archive: ZipArchive<File>,
    list: List,
    /// What the run was.
    pub record: Record,
}

impl Pack {
    /// Open and check the file at `path`. Nothing is written.
    pub fn open(path: &Path) -> Result<Self, String> {
        let refused = |why: String| format!("{}: not a pack that can be trusted: {why}", path.display());
        let io = |e: io::Error| format!("{}: {e}", path.display());
        let meta = path.metadata().map_err(io)?;
        if !meta.is_file() {
            return Err(format!("{}: a folder, a device or a pipe, no file", path.display()));
        }
        let archive = ZipArchive::new(File::open(path).map_err(io)?);
        let mut archive = archive.map_err(|e| refused(format!("no zip archive, or a cut-off one ({e})")))?;
        let list = read_list(&mut archive, meta.len()).map_err(&refused)?;
        check_names(&mut archive, &list).map_err(&refused)?;
        let mut record = None;
        for (name, entry) in &list.files {
            let keep = name == RUN_JSON;
            let bytes = read_checked(&mut archive, name, entry, keep).map_err(&refused)?;
            if keep {
                let wrong = |e: serde_json::Error| refused(format!("run.json is damaged or of another version: {e}"));
                record = Some(serde_json::from_slice::<Record>(plain_bytes(&bytes)).map_err(wrong)?);
            }
        }
        let record = record.ok_or_else(|| refused("it holds no run.json".into()))?;
        check_record(&record, &list.files).map_err(&refused)?;
        Ok(Self { path: path.to_path_buf(), archive, list, record })
    }

    /// The name of the run's folder.
    pub fn name(&self) -> &str {
        &self.list.name
    }

    /// Write the files that `wanted` names into `folder`, which is there.
    pub fn unpack(&mut self, folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), String> {
        let names: Vec<String> = self.list.files.keys().filter(|name| wanted(name)).cloned().collect();
        for name in names {
            let to = folder.join(&name);
            let failed = |e: io::Error| format!("{}: {}: {e}", self.path.display(), to.display());
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            let entry = &self.list.files[&name];
            // Read again, so checked again: the file could have been changed since.
            let mut from = self.archive.by_name(&name).map_err(|e| failed(e.into()))?;
            let mut sum = Sha256::new();
            let mut out = File::create_new(&to).map_err(failed)?;
            let mut limited = (&mut from).take(entry.bytes);
            io::copy(&mut Tee { from: &mut limited, sum: &mut sum }, &mut out).map_err(failed)?;
            out.sync_all().map_err(failed)?;
            if hex(&sum.finalize()) != entry.sha256 {
                return Err(format!("{}: {name} has changed while it was unpacked", self.path.display()));
            }
        }
        Ok(())
    }
}

/// Is there what the list says, under plain names, and nothing else?
fn check_names(archive: &mut ZipArchive<File>, list: &List) -> Result<(), String> {
    if archive.len() != list.files.len() + 1 {
        return Err(format!("it holds {} files, {LIST} lists {}", archive.len() - 1, list.files.len()));
    }
    let mut seen = BTreeSet::new();
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(|e| format!("entry {at} cannot be read ({e})"))?;
        let name = entry.name().map_err(|e| format!("entry {at} has no name that is text ({e})"))?.into_owned();
        let shown = name.escape_debug().to_string();
        plain(&name).map_err(|why| format!("the name `{shown}` {why}"))?;
        if !entry.is_file() || entry.is_symlink() {
            return Err(format!("`{shown}` is a folder or a link"));
        }
        if name != LIST && !list.files.contains_key(&name) {
            return Err(format!("`{shown}` is not in {LIST}"));
        }
        // Some file systems hold two such names to be one.
        if !seen.insert(name.to_lowercase()) {
            return Err(format!("`{shown}` comes twice"));
        }
    }
    Ok(())
}

/// The bytes of an entry, if they are to be kept, after size and checksum were found to be right.
fn read_checked(archive: &mut ZipArchive<File>, name: &str, entry: &Entry, keep: bool) -> Result<Vec<u8>, String> {
    if keep && entry.bytes > LIST_BYTES {
        return Err(format!("{name} has {} bytes, more than such a file can have", entry.bytes));
    }
    let file = archive.by_name(name).map_err(|e| format!("`{name}` cannot be read ({e})"))?;
    let (mut sum, mut kept, mut sink) = (Sha256::new(), vec![], io::sink());
    let mut tee = Tee { from: file.take(entry.bytes.saturating_add(1)), sum: &mut sum };
    let to: &mut dyn Write = if keep { &mut kept } else { &mut sink };
    let bytes = io::copy(&mut tee, to).map_err(|e| format!("`{name}` cannot be read ({e})"))?;
    if bytes != entry.bytes {
        let found = if bytes > entry.bytes { "more".into() } else { bytes.to_string() };
        return Err(format!("`{name}` has {found} bytes, {LIST} says {}", entry.bytes));
    }
    let sum = hex(&sum.finalize());
    if sum != entry.sha256 {
        return Err(format!("the checksum of `{name}` is {sum}, {LIST} says {}", entry.sha256));
    }
    Ok(kept)
}
