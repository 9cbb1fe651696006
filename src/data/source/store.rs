//! What has been decoded is kept: `<cache>/workbench/decoded/NAME-SPLIT-KEY`, one file for each split (see `decoded`)
//!
//! What is kept has been checked (`fetch`), and is checked again whenever it is read.
//!
//! The key of a split that was fetched or imported is the manifest's checksum. That of one decoded from files where they
//! lie also covers these files' paths, lengths and times, so that a changed file is decoded anew. For pictures in folders
//! that is the times of the folders: a picture that was overwritten in place is noticed by `workbench data verify` only.

use super::decoded::{self, Decoded, Unusable};
use super::locate::Located;
use crate::base::files;
use crate::base::files::quoted;
use crate::data::digest;
use crate::data::error::{Error, Result};
use crate::data::formats::Raw;
use crate::data::manifest::{Format, Manifest, PlainName, Sha256};
use crate::data::values::Values;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Splits with fewer values are decoded about as fast as they are read.
const WORTH_KEEPING: usize = 4 << 20;

/// Where a split that was fetched or imported is kept; nothing if the user has no cache folder.
pub fn fetched_path(manifest: &Manifest, split: &str) -> Option<PathBuf> {
    path(manifest, split, &manifest.key)
}

fn path(manifest: &Manifest, split: &str, key: &str) -> Option<PathBuf> {
    let cache = files::cache_folder(&files::variable)?;
    Some(cache.join("decoded").join(format!("{}-{split}-{}", manifest.name.as_str(), &key[..16])))
}

/// The splits of a data set that was fetched or imported. `None` where one was not; an error where a file is damaged, which only
/// fetching again can mend.
pub fn fetched(manifest: &Manifest) -> Result<Option<Vec<(&'static str, Decoded)>>> {
    let one = |split: &'static str| -> Result<Option<Decoded>> {
        let Some(path) = fetched_path(manifest, split) else { return Ok(None) };
        match decoded::open(&path) {
            Ok(decoded) if fits(manifest, split, &manifest.key, &decoded) => Ok(Some(decoded)),
            Err(Unusable::Missing) => Ok(None),
            other => {
                let why = if let Err(Unusable::Damaged(why)) = other { why } else { "it is of another data set" };
                let (name, file) = (manifest.name.as_str(), path.display());
                let how = if manifest.hub.is_some() { "fetch" } else { "import" };
                let asked = quoted(&manifest.asked);
                let message = format!("{file} is damaged: {why}; make it again with `workbench data {how} {asked}`");
                Err(Error::Store { dataset: name.into(), message })
            }
        }
    };
    let splits = manifest.splits().into_iter().map(|(name, _)| Ok(one(name)?.map(|decoded| (name, decoded))));
    splits.collect()
}

fn fits(manifest: &Manifest, split: &str, key: &str, decoded: &Decoded) -> bool {
    let header = &decoded.header;
    header.key == key
        && header.shape == manifest.shape()
        && manifest.split(split).size.is_none_or(|n| n.get() == header.len)
}

/// Keeps what was fetched or imported, whose content has been found right and has this digest.
pub fn keep_fetched(
    manifest: &Manifest,
    split: &str,
    raw: &Raw,
    (source, digest): (&str, &str),
    classes: &[String],
) -> Result<PathBuf> {
    let name = manifest.name.as_str();
    let fail = |message: String| Error::Store { dataset: name.into(), message };
    let path = fetched_path(manifest, split)
        .ok_or_else(|| fail("there is no folder to keep it in; set HOME or XDG_CACHE_HOME".into()))?;
    decoded::write(&path, (&manifest.key, source, digest), classes, manifest.shape(), raw)
        .map_err(|e| fail(format!("{} cannot be written: {e}; is there room?", path.display())))?;
    Ok(path)
}

/// The digest of a whole split's content, which has to be the manifest's where that names one.
pub fn check_content(
    manifest: &Manifest,
    split: &'static str,
    pixels: &[u8],
    labels: &[u32],
    source: &str,
) -> Result<String> {
    let found = digest::of_content(pixels, labels, manifest.shape());
    let expected = manifest.split(split).digest.as_ref().map(Sha256::as_str);
    match expected.filter(|e| **e != found) {
        Some(expected) => Err(Error::Digest {
            dataset: manifest.name.as_str().into(),
            split,
            source_of: source.into(),
            expected: expected.into(),
            found: found.into(),
        }),
        None => Ok(found),
    }
}

/// A whole split from located files: from the cache, or decoded (`decode` is told how many images), checked and kept there.
pub fn load(
    manifest: &Manifest,
    located: &Located,
    split: &'static str,
    decode: impl FnOnce(usize) -> Result<Raw>,
) -> Result<(Values, Vec<u32>)> {
    let size = manifest.split(split).size();
    let key = fingerprint(manifest, located, split).filter(|_| size * manifest.pixels() >= WORTH_KEEPING);
    let kept = key.as_ref().and_then(|key| Some((path(manifest, split, key)?, key)));
    if let Some((path, key)) = &kept
        && let Ok(decoded) = decoded::open(path)
        && fits(manifest, split, key, &decoded)
    {
        return Ok((decoded.values, decoded.labels));
    }
    let raw = decode(size)?;
    let digest = check_content(manifest, split, &raw.0, &raw.1, &located.source)?;
    if let Some((path, key)) = kept {
        // The next start will decode again if this one could not write: slower, and nothing worse.
        if decoded::write(&path, (key, &located.source, &digest), &[], manifest.shape(), &raw).is_ok() {
            forget_older(&path, manifest, split, &located.source);
        }
    }
    Ok((Values::from(raw.0), raw.1))
}

/// Removes what was kept of the same source when its files were others.
fn forget_older(path: &Path, manifest: &Manifest, split: &str, source: &str) {
    let prefix = format!("{}-{split}-", manifest.name.as_str());
    let beside = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    for other in beside.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|other| other != path) {
        let same_name = other.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&prefix));
        if same_name && decoded::header(&other).is_some_and(|header| header.source == source) {
            let _ = std::fs::remove_file(other);
        }
    }
}

/// What tells whether a split would be decoded to the same again. `None` where that cannot be told.
fn fingerprint(manifest: &Manifest, located: &Located, split: &str) -> Option<String> {
    // What lies among temporary files will not be there the next time.
    if located.folder.starts_with(std::env::temp_dir()) {
        return None;
    }
    let files = manifest.split(split);
    let mut text = format!("{} {split}\n", manifest.key);
    if manifest.format == Format::Csv && manifest.label.is_none() {
        // What was kept before the label was looked for may have the last pixel in its place.
        text += "label looked for\n";
    }
    let mut add = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        let time = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        writeln!(text, "{} {} {time}", path.canonicalize().ok()?.display(), meta.len()).ok()
    };
    let list = manifest.class_list.iter().map(PlainName::as_str);
    for file in list.chain(manifest.files_of(files, files.size())) {
        add(located.inputs.get(file)?.path()?)?;
    }
    if manifest.format == Format::Folders {
        let folder = located.folder.join(files.folder.as_ref()?.as_str());
        let inner = |parent: &Path| files.subfolder.as_ref().map_or(parent.into(), |s| parent.join(s.as_str()));
        if let Some(annotations) = &files.annotations {
            add(&folder.join(annotations.as_str()))?;
            add(&inner(&folder))?;
        } else {
            let entries = std::fs::read_dir(&folder).ok()?.flatten().map(|e| e.path());
            let mut classes: Vec<PathBuf> = entries.filter(|p| p.is_dir() && plain(p)).collect();
            classes.sort();
            classes.iter().map(|c| inner(c)).filter(|c| c.is_dir()).try_for_each(|c| add(&c))?;
        }
    }
    Some(digest::of_bytes(text.as_bytes()))
}

fn plain(path: &Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(PlainName::allows)
}
