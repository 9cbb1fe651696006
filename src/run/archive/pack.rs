//! A run in one file, to be passed on: a zip archive of the run's folder without checkpoints and TensorBoard's files.
//!
//! ```text
//! pack.json                 what the file holds: every other entry with its size and SHA-256
//! run.json                  settings, seed, versions, data, results
//! source/, stdlib/          the script and every module it imported, as they were
//! metrics.*, weights, ...   the rest of the folder
//! ```
//!
//! Nothing in a pack is believed: `Pack::open` reads the list first, then holds every name, size and checksum against it, and
//! only then can anything be written. The same run makes the same bytes.

use super::links::refuse_links_out;
use crate::run::recorder::run_json;
use crate::run::recorder::run_json::Record;
use crate::text::plain_bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::{Component, Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// The ending of a pack's name.
pub const EXTENSION: &str = "workbench";
const LIST: &str = "pack.json";
const FORMAT: &str = "workbench pack 1";
/// What stays behind: large, or of use to the folder alone.
const LEFT_OUT: [&str; 3] = ["checkpoints", "events", ".lock"];

/// The most that a pack may hold.
const FILES: usize = 10_000;
const BYTES: u64 = 64 << 30;
const LIST_BYTES: u64 = 4 << 20;
/// How many times its size a pack may unpack to, beside a little: numbers hardly shrink, texts ten times.
const GROWTH: u64 = 100;
const LITTLE: u64 = 16 << 20;

/// `pack.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    format: String,
    /// The run folder's name.
    name: String,
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    bytes: u64,
    sha256: String,
}

/// Is the file at `path` called as packs are?
pub fn is_pack(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// Pack the run in `folder` into the file `to`, which must not be there. Returns its size.
pub fn pack(folder: &Path, to: &Path) -> Result<u64, String> {
    refuse_links_out(folder)?;
    let record = Record::read(folder)?;
    let failed = |what: &Path, e: io::Error| format!("pack: {}: {e}", what.display());
    if to.exists() {
        return Err(format!("pack: {} is there already; name another file with --into, or remove it", to.display()));
    }
    let mut names = vec![];
    collect(folder, Path::new(""), &mut names).map_err(|e| failed(folder, e))?;
    let full = folder.canonicalize().map_err(|e| failed(folder, e))?;
    let name = full.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned());
    let mut list = List { format: FORMAT.into(), name, files: BTreeMap::new() };
    for name in &names {
        plain(name).map_err(|why| {
            format!("pack: {} cannot be packed: its name {why}; rename it", folder.join(name).display())
        })?;
        let (bytes, sha256) = digest(&folder.join(name)).map_err(|e| failed(&folder.join(name), e))?;
        list.files.insert(name.clone(), Entry { bytes, sha256 });
    }
    check_record(&record, &list.files).map_err(|why| format!("pack: {}: {why}", folder.display()))?;
    let write = |part: &Path| -> io::Result<()> {
        let mut zip = ZipWriter::new(File::create(part)?);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .large_file(true);
        zip.start_file(LIST, options)?;
        zip.write_all(&serde_json::to_vec_pretty(&list)?)?;
        for name in list.files.keys() {
            zip.start_file(name.as_str(), options)?;
            io::copy(&mut File::open(folder.join(name))?, &mut zip)?;
        }
        zip.finish()?.sync_all()
    };
    let part = to.with_extension(format!("{EXTENSION}.part"));
    // A run that is under way may have changed a file in between.
    let whole = write(&part).map_err(|e| failed(to, e)).and_then(|()| {
        Pack::open(&part).map(|_| ()).map_err(|why| {
            format!("pack: the run's files changed while they were packed, or the disk is at fault: {why}; try again")
        })
    });
    if let Err(message) = whole.and_then(|()| std::fs::rename(&part, to).map_err(|e| failed(to, e))) {
        let _ = std::fs::remove_file(&part);
        return Err(message);
    }
    to.metadata().map(|meta| meta.len()).map_err(|e| failed(to, e))
}

/// The files below `folder`, links and hidden ones left out.
fn collect(folder: &Path, inside: &Path, names: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder.join(inside))? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        let Some(name) = path.to_str().map(|name| name.replace('\\', "/")) else { continue };
        let kind = entry.file_type()?;
        if LEFT_OUT.contains(&name.as_str()) || entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            collect(folder, &path, names)?;
        } else if kind.is_file() {
            names.push(name);
        }
    }
    Ok(())
}

fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut sum = Sha256::new();
    let bytes = io::copy(&mut Tee { from: File::open(path)?, sum: &mut sum }, &mut io::sink())?;
    Ok((bytes, crate::run::resume::checkpoint::hex(&sum.finalize())))
}

/// Why `name` is no plain path inside a folder, if it is none. What holds for the strictest file system holds everywhere.
fn plain(name: &str) -> Result<(), String> {
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

/// Are the script and the modules that the record names below `source/` and `stdlib/`, and is the script among them?
pub fn own_names(record: &Record) -> Result<(), String> {
    let inside =
        |name: &str| !name.is_empty() && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    if !inside(&record.main) {
        return Err(format!("the script's name `{}` leads out of the folder", record.main));
    }
    let main = format!("source/{}", record.main);
    if !record.files.contains_key(&main) {
        return Err(format!("run.json does not list the script, {main}"));
    }
    for name in record.files.keys() {
        let script = (name.starts_with("source/") || name.starts_with("stdlib/")) && name.ends_with(".rhai");
        if !script || !inside(name) {
            return Err(format!("run.json lists `{name}` among the scripts"));
        }
    }
    Ok(())
}

/// Does the record name its own files, and are these there as it says?
fn check_record(record: &Record, files: &BTreeMap<String, Entry>) -> Result<(), String> {
    plain(&record.main).map_err(|why| format!("the script's name `{}` {why}", record.main))?;
    own_names(record)?;
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
            let keep = name == run_json::FILE;
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
            if crate::run::resume::checkpoint::hex(&sum.finalize()) != entry.sha256 {
                return Err(format!("{}: {name} has changed while it was unpacked", self.path.display()));
            }
        }
        Ok(())
    }
}

/// Hands on what it reads, and adds it to a sum.
struct Tee<'a, R> {
    from: R,
    sum: &'a mut Sha256,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.sum.update(&buffer[..n]);
        Ok(n)
    }
}

fn read_list(archive: &mut ZipArchive<File>, size: u64) -> Result<List, String> {
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
    let sum = crate::run::resume::checkpoint::hex(&sum.finalize());
    if sum != entry.sha256 {
        return Err(format!("the checksum of `{name}` is {sum}, {LIST} says {}", entry.sha256));
    }
    Ok(kept)
}
