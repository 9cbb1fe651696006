//! What a folder or an archive holds, as far as it is recognised, and what it is taken for: a data set that is known by name, pictures
//! in folders, or files for which a manifest is a few lines.

use super::fetch::{self, take_over};
use super::locate::locate_in;
use super::{archive, sketch};
use crate::base::files::quoted_path;
use crate::base::interrupt;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::formats::folders::picture_names;
use crate::data::manifest::built_in::names;
use crate::data::manifest::{Format, Manifest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Deeper folders are not looked into, nor more files than these.
const DEPTH: usize = 4;
const FILES: usize = 100_000;

/// What was found.
pub struct Found {
    /// A line for each thing.
    pub lines: Vec<String>,
    /// The data sets, known by name, that it may be.
    pub known: Vec<&'static str>,
}

/// Take over what is at `path`, a folder or an archive, as the data set that it is recognised as; or say what it is and how it is used.
pub fn import(path: &Path, say: &dyn Fn(&str)) -> Result<()> {
    fetch::with_folder(path, say, &|folder| {
        let found = look(folder)?;
        found.lines.iter().for_each(|line| say(line));
        let mut other = None;
        for name in &found.known {
            match take_over(&Manifest::find(name)?, folder, path, say) {
                // Fashion-MNIST's files are called as MNIST's are: what they hold tells which they are.
                Err(error @ (Error::Digest { .. } | Error::Checksum { .. })) => {
                    say(&format!("{name}: no: its content is another"));
                    other = Some(error);
                }
                done => return done,
            }
        }
        match (other, found.lines.is_empty()) {
            (Some(error), _) => Err(error),
            (None, true) => {
                let message = "nothing in it is recognised; known are IDX, CSV, Parquet, .npy, .npz, CIFAR's batches, and pictures (JPEG, \
                    PNG, BMP, WebP) in a folder for each class";
                Err(FileError::Content { file: path.display().to_string(), message: message.into() }.into())
            }
            (None, false) => Ok(()),
        }
    })
}

/// What `folder` holds.
pub fn look(folder: &Path) -> Result<Found> {
    let mut found = Found { lines: vec![], known: vec![] };
    for name in names() {
        let manifest = Manifest::find(name)?;
        // What is inside the program is nowhere else.
        if !manifest.embedded.is_empty() {
            continue;
        }
        match locate_in(&manifest, &manifest.files(&manifest.all()), folder) {
            Ok(located) => {
                let kind = kind(manifest.format);
                found.lines.push(format!("{}: {kind} of {}", within(folder, &located.folder), manifest.title));
                found.known.push(name);
            }
            Err(Error::Incomplete { folder: place, missing, .. }) => {
                let place = within(folder, &place);
                found.lines.push(format!("{place}: a part of {}; {missing} is missing", manifest.title));
            }
            Err(Error::NotFound { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    if found.known.is_empty() {
        found.lines.extend(pictures(folder)?);
        found.lines.extend(sketch::of_files(folder, &files(folder)?)?);
    }
    Ok(found)
}

fn kind(format: Format) -> &'static str {
    match format {
        Format::Idx => "IDX files",
        Format::Cifar => "batches",
        Format::Folders => "folders of pictures",
        Format::Csv => "rows",
        Format::Parquet => "Parquet files",
        Format::Npy | Format::Npz => "arrays",
    }
}

/// `place` as it lies in `folder`.
fn within(folder: &Path, place: &Path) -> String {
    match place.strip_prefix(folder) {
        Ok(inner) if !inner.as_os_str().is_empty() => inner.display().to_string(),
        _ => "here".into(),
    }
}

/// Pictures in a folder for each class, in `folder` or one that is alone in it.
fn pictures(folder: &Path) -> Result<Vec<String>> {
    let mut at = folder.to_owned();
    for _ in 0..DEPTH {
        let inner = folders(&at)?;
        let classes = |of: &Path| -> Result<usize> {
            let mut count = 0;
            for class in folders(of)? {
                count += usize::from(!picture_names(&class)?.is_empty());
            }
            Ok(count)
        };
        let own = classes(&at)?;
        if own > 0 {
            let place = quoted_path(&at);
            return Ok(vec![format!(
                "{}: pictures in folders of {own} classes: dataset({place})",
                within(folder, &at)
            )]);
        }
        let mut uses = vec![];
        for part in &inner {
            let name = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let count = classes(part)?;
            if count > 0 {
                uses.push(format!("{name} ({count} classes)"));
            }
        }
        if !uses.is_empty() {
            let (place, uses) = (quoted_path(&at), uses.join(", "));
            return Ok(vec![format!("{}: pictures in folders, {uses}: dataset({place})", within(folder, &at))]);
        }
        match &inner[..] {
            [only] => at = only.clone(),
            _ => break,
        }
    }
    Ok(vec![])
}

fn folders(of: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| FileError::Io { file: of.display().to_string(), source };
    let mut found = vec![];
    for entry in std::fs::read_dir(of).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() && !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The files in `folder` and below, by their kinds.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let (mut found, mut left) = (BTreeMap::<String, Vec<PathBuf>>::new(), FILES);
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((at, depth)) = waiting.pop() {
        if interrupt::requested() {
            return Err(Error::Interrupted);
        }
        let io = |source| FileError::Io { file: at.display().to_string(), source };
        for entry in std::fs::read_dir(&at).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_dir() && depth < DEPTH {
                waiting.push((path, depth + 1));
            } else if path.is_file() && left > 0 {
                left -= 1;
                let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
                let name = name.trim_end_matches(".gz");
                let is_idx = name.contains("idx") && name.contains("ubyte");
                let end = name.rsplit_once('.').map_or("", |(_, end)| end);
                found.entry(if is_idx { "idx".into() } else { end.into() }).or_default().push(path);
            }
        }
    }
    found.values_mut().for_each(|paths| paths.sort());
    Ok(found)
}

/// What an archive or a folder at `path` holds, for people.
pub fn lines(path: &Path) -> Result<Vec<String>> {
    if path.is_dir() {
        return Ok(look(path)?.lines);
    }
    let unpacked = archive::unpack(path)?;
    Ok(look(unpacked.path())?.lines)
}
