//! `workbench data`: where a data set is, fetching it from the hub, taking it over from a folder or an archive, and
//! checking all of it
//!
//! Nothing else downloads data: a script that lacks a data set says how to fetch it.
//!
//! Whatever the source, what is kept is one decoded file for each split, written only after counts, labels, sizes and, where
//! the manifest names it, the digest of the content have been found right.

use super::archive;
use super::decoded::{self, Decoded};
use super::hub::{HubFile, Kind};
use super::loader::Loader;
use super::locate::{Located, locate, locate_in};
use super::measure::measured;
use super::{places, store};
use crate::base::files::quoted;
use crate::data::Options;
use crate::data::digest;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::formats::Raw;
use crate::data::formats::parquet;
use crate::data::formats::parquet::Columns;
use crate::data::manifest::{Format, Manifest, Sha256, SplitFiles};
use std::path::{Path, PathBuf};

/// Where a data set is.
#[derive(Debug, Clone)]
pub enum Place {
    /// Inside the program.
    BuiltIn,
    /// In its original files, of so many bytes together.
    Files(PathBuf, u64),
    /// Some of its original files: the folder, and one that is missing.
    Part(PathBuf, String),
    /// Fetched or imported: the decoded files, and their bytes together.
    Kept(Vec<PathBuf>, u64),
    /// Not on this machine, as far as is known.
    Absent,
}

/// Where the data set called `name` is; the first place that [`crate::data::Dataset::load`] would take it from.
pub fn place(name: &str, data_dir: Option<&Path>) -> Result<Place> {
    let manifest = Manifest::find(name)?;
    match whole(&manifest, name, data_dir) {
        Ok(located) if located.folder.as_os_str().is_empty() => return Ok(Place::BuiltIn),
        Ok(located) => {
            let inputs = located.inputs.values().filter_map(|input| std::fs::metadata(input.path()?).ok());
            let folders = manifest.splits().into_iter().filter_map(|(_, split)| split.folder.as_ref());
            let folders: u64 = folders.map(|f| bytes_in(&located.folder.join(f.as_str()))).sum();
            let bytes = inputs.map(|meta| meta.len()).sum::<u64>() + folders;
            return Ok(Place::Files(located.folder, bytes));
        }
        Err(Error::Incomplete { folder, missing, .. }) => return Ok(Place::Part(folder, missing.into())),
        Err(Error::NotFound { .. }) => {}
        Err(other) => return Err(other),
    }
    let splits = manifest.splits();
    let paths: Vec<PathBuf> = splits.iter().filter_map(|(split, _)| store::fetched_path(&manifest, split)).collect();
    let sizes = paths.iter().map(|p| std::fs::metadata(p).map(|m| m.len())).collect::<std::io::Result<Vec<u64>>>();
    Ok(match sizes {
        Ok(sizes) if sizes.len() == splits.len() => Place::Kept(paths, sizes.iter().sum()),
        _ => Place::Absent,
    })
}

/// All files below a folder; links are not followed.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

fn whole(manifest: &Manifest, name: &str, data_dir: Option<&Path>) -> Result<Located> {
    locate(manifest, &manifest.files(&manifest.all()), &[], name, data_dir)
}

/// Download the data set called `name` and keep it. `say` gets a line for each step.
pub fn fetch(name: &str, say: &dyn Fn(&str)) -> Result<()> {
    let manifest = Manifest::find(name)?;
    let name = manifest.name.as_str();
    let Some(hub) = &manifest.hub else {
        let built_in = matches!(whole(&manifest, name, None), Ok(l) if l.folder.as_os_str().is_empty());
        let message = if built_in {
            "comes with the program; there is nothing to fetch".into()
        } else {
            let asked = quoted(&manifest.asked);
            let home = manifest.homepage.as_ref().map(|h| format!(" from {h}")).unwrap_or_default();
            format!(
                "its manifest names no place on the hub; get its files{home}, then `workbench data import {asked} PATH`"
            )
        };
        return Err(Error::Store { dataset: name.into(), message });
    };
    if let Ok(Some(_)) = store::fetched(&manifest) {
        say(&format!("{name}: here already, and undamaged"));
        return Ok(());
    }
    let (mut decoded, mut class_names) = (vec![], vec![]);
    for (split, paths) in [("train", &hub.train), ("test", &hub.test)] {
        let (mut files, mut asked, mut source) = (vec![], vec![], vec![]);
        for path in paths {
            let file = HubFile {
                kind: Kind::Dataset,
                repository: hub.repository.clone(),
                path: path.clone(),
                revision: hub.revision.clone(),
            };
            say(&format!("{name}: {file}"));
            let here = file.fetch()?;
            let sum =
                digest::of_file(&here).map_err(|e| FileError::Io { file: here.display().to_string(), source: e })?;
            if let Some(expected) = manifest.checksums.get(path).map(Sha256::as_str).filter(|e| *e != sum) {
                file.forget(&here);
                return Err(Error::Checksum { file: file.to_string(), expected: expected.into(), found: sum });
            }
            source.push(format!("{file} (SHA-256 {sum})"));
            files.push(here);
            asked.push(file);
        }
        let columns = Columns { image: &hub.columns.image, label: &hub.columns.label };
        let names = parquet::names(&files, columns.label, manifest.classes.get());
        let names = names.map(|found| manifest.class_names.clone().unwrap_or(found.into_iter().collect()));
        let raw = names.and_then(|names| {
            let raw = parquet::load(&manifest, &files, columns, &names, manifest.split(split).size())?;
            class_names = names;
            Ok(raw)
        });
        let source = source.join(", ");
        let checked = raw.and_then(|raw| Checked::new(&manifest, split, raw, &source));
        if checked.as_ref().is_err_and(|e| !matches!(e, Error::Interrupted)) {
            // What is wrong in the hub's cache would be wrong the next time too: it is to come anew then.
            asked.iter().zip(&files).for_each(|(file, here)| file.forget(here));
        }
        decoded.push(checked?);
    }
    keep(&manifest, &decoded, &class_names, say)
}

/// A whole split that is what the manifest says.
struct Checked {
    split: &'static str,
    raw: Raw,
    source: String,
    digest: String,
}

impl Checked {
    fn new(manifest: &Manifest, split: &'static str, raw: Raw, source: &str) -> Result<Self> {
        let digest = store::check_content(manifest, split, &raw.0, &raw.1, source)?;
        Ok(Self { split, raw, source: source.into(), digest })
    }
}

/// Keeps all splits, once all have been found right.
fn keep(manifest: &Manifest, splits: &[Checked], classes: &[String], say: &dyn Fn(&str)) -> Result<()> {
    let name = manifest.name.as_str();
    for Checked { split, raw, source, digest } in splits {
        let path = store::keep_fetched(manifest, split, raw, (source, digest), classes)?;
        say(&format!("{name}: {} {split} images, {}", raw.1.len(), path.display()));
    }
    say(&format!("{name}: {}", how_well_known(manifest)));
    Ok(())
}

fn how_well_known(manifest: &Manifest) -> &'static str {
    let all = manifest.splits().iter().all(|(_, split)| split.digest.is_some());
    if all {
        "content is what was published, to the last pixel"
    } else {
        "counts, sizes and labels are right; no digest of the published content is known"
    }
}

/// Take over the data set called `name` from `path`: a folder of its original files, or an archive (.tar, .tar.gz, .zip).
pub fn import(name: &str, path: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let manifest = Manifest::find(name)?;
    with_folder(path, say, &|folder| take_over(&manifest, folder, path, say))
}

/// Calls `work` with the folder at `path`, or with that which the archive there unpacks to.
pub fn with_folder(path: &Path, say: &dyn Fn(&str), work: &dyn Fn(&Path) -> Result<()>) -> Result<()> {
    if path.is_dir() {
        return work(path);
    }
    say(&format!("unpacking {}", path.display()));
    work(archive::unpack(path)?.path())
}

/// Take over the data set of `manifest` from `folder`, which `path` was or was unpacked to, saying what is taken for it.
pub(super) fn take_over(manifest: &Manifest, folder: &Path, path: &Path, say: &dyn Fn(&str)) -> Result<()> {
    let located = locate_in(manifest, &manifest.files(&manifest.all()), folder)?;
    let manifest = measured(manifest.clone(), &located)?;
    let inside = located.folder.strip_prefix(folder).unwrap_or(&located.folder).display().to_string();
    let inside = if inside.is_empty() { String::new() } else { format!("{inside}/") };
    let files = located.inputs.values().filter_map(|i| Some(i.path()?.file_name()?.to_string_lossy().into_owned()));
    let files = files.map(|file| format!("{inside}{file}")).collect::<Vec<_>>().join(", ");
    say(&format!("{}: taken from {files}", manifest.name.as_str()));
    check_files(&manifest, &located)?;
    let options = Options::default();
    let loader = Loader::new(&manifest, &located, &options, &manifest.all())?;
    let source = format!("imported from {}", path.display());
    let decode =
        |(split, files): (_, &SplitFiles)| Checked::new(&manifest, split, loader.decode(split, files.size())?, &source);
    let decoded = manifest.splits().into_iter().map(decode).collect::<Result<Vec<_>>>()?;
    keep(&manifest, &decoded, &loader.names(), say)
}

/// The checksums of single files that the manifest names; how many there were.
fn check_files(manifest: &Manifest, located: &Located) -> Result<usize> {
    let annotations = manifest.splits().into_iter().filter_map(|(_, split)| {
        let (folder, file) = (split.folder.as_ref()?, split.annotations.as_ref()?);
        Some((
            file.as_str(),
            crate::data::read::Input::file(located.folder.join(folder.as_str()).join(file.as_str()), false),
        ))
    });
    let annotations: Vec<_> = annotations.collect();
    let inputs = located.inputs.iter().map(|(name, input)| (name.as_str(), input));
    let mut count = 0;
    for (name, input) in inputs.chain(annotations.iter().map(|(name, input)| (*name, input))) {
        let Some(expected) = manifest.checksums.get(name).map(Sha256::as_str) else { continue };
        // They are those of the files that the manifest names, not of Python's version of them.
        if manifest.format == Format::Cifar && places::is_pickle(&mut input.open()?) {
            continue;
        }
        let found = digest::of_reader(&mut input.open()?).map_err(|e| input.failed(e))?;
        if found != expected {
            return Err(Error::Checksum { file: input.shown(), expected: expected.into(), found });
        }
        count += 1;
    }
    Ok(count)
}

/// Check all of the data set called `name`, where it is: the checksums of files, every image and label, the digest.
pub fn verify(name: &str, data_dir: Option<&Path>, say: &dyn Fn(&str)) -> Result<()> {
    let manifest = Manifest::find(name)?;
    let shown = manifest.name.as_str();
    if let Place::Kept(..) = place(name, data_dir)? {
        let Some(both) = store::fetched(&manifest)? else {
            return Err(Error::Store { dataset: shown.into(), message: "it went away while it was checked".into() });
        };
        for (split, Decoded { values, labels, header }) in &both {
            let found = store::check_content(&manifest, split, values, labels, &header.source)?;
            say(&format!("{shown}: {split}: {} images, digest {found}, {}", labels.len(), header.source));
        }
    } else {
        let located = whole(&manifest, name, data_dir)?;
        let manifest = measured(manifest.clone(), &located)?;
        let sums = check_files(&manifest, &located)?;
        let options = Options::default();
        let loader = Loader::new(&manifest, &located, &options, &manifest.all())?;
        for (split, files) in manifest.splits() {
            let (pixels, labels) = loader.decode(split, files.size())?;
            let found = store::check_content(&manifest, split, &pixels, &labels, &located.source)?;
            say(&format!("{shown}: {split}: {} images, digest {found}", labels.len()));
        }
        say(&format!("{shown}: {}, {sums} file checksums right", located.source));
    }
    say(&format!("{shown}: {}", how_well_known(&manifest)));
    Ok(())
}

/// For people: what the decoded file at `path` came from.
pub fn source_of(path: &Path) -> Option<String> {
    decoded::header(path).map(|header| header.source)
}
