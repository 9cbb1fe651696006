//! Packing: the list first, then every file that it names; what was written is read again before it gets its name.

use super::list::{EXTENSION, Entry, FORMAT, LIST, List, check_record, digest, plain};
use super::read::Pack;
use crate::run::archive::links::refuse_links_out;
use crate::run::recorder::Record;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// What stays behind: large, or of use to the folder alone.
const LEFT_OUT: [&str; 3] = ["checkpoints", "events", ".lock"];

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
