//! Where a folder may hold the files of a data set, and what they are called there: as the publisher packs them, as torchvision
//! keeps them, as Python's version has them.

use super::archive;
use crate::data::error::Result;
use crate::data::file_error::FileError;
use crate::data::manifest::{Format, Manifest};
use crate::data::read::{Input, not_a_file};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The most that is read of an archive's files together, into memory.
const ARCHIVE_BYTES: u64 = 1 << 30;

/// The folders below `data_folder` that may hold the files: that of the data set's name and `data_folder` itself, each with and
/// without the folder that the archive makes; then those which are called much the same (`FashionMNIST/raw`), where there are any.
pub fn of(manifest: &Manifest, data_folder: &Path) -> Vec<PathBuf> {
    let named = data_folder.join(manifest.name.as_str());
    let inner = [named.as_path(), data_folder].map(|p| manifest.folder.as_ref().map(|u| p.join(u.as_str())));
    let mut places: Vec<PathBuf> = inner.into_iter().flatten().chain([named.clone(), data_folder.into()]).collect();
    let other_names = python_folder(manifest);
    let alike = alike(manifest, data_folder);
    for parent in alike.iter().map(PathBuf::as_path).chain([named.as_path(), data_folder]) {
        let unpacked = manifest.folder.iter().map(|f| f.as_str().to_owned());
        let below = unpacked
            .chain(other_names.clone())
            .chain(["raw".into()])
            .map(|f| parent.join(f))
            .chain([parent.to_owned()]);
        let found: Vec<PathBuf> = below.filter(|p| p.is_dir() && !places.contains(p)).collect();
        // In a folder of other data sets, `raw` is anybody's.
        let is_own = parent != data_folder || is_alike(manifest, data_folder);
        places.extend(found.into_iter().filter(|p| is_own || !p.ends_with("raw")));
    }
    places
}

/// Does the name of a folder differ from the data set's in case and punctuation alone, as torchvision's `FashionMNIST`?
fn is_alike(manifest: &Manifest, folder: &Path) -> bool {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let name = folder.file_name().and_then(|n| n.to_str());
    name.is_some_and(|name| plain(name) == plain(manifest.name.as_str()))
}

/// The folders in `data_folder` that are called so.
fn alike(manifest: &Manifest, data_folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data_folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|p| p.is_dir() && is_alike(manifest, p)).collect();
    found.sort();
    found
}

/// The folder of Python's version, where records have one.
fn python_folder(manifest: &Manifest) -> Option<String> {
    let folder = manifest.folder.as_ref().filter(|_| manifest.format == Format::Cifar)?.as_str();
    let short = folder.strip_suffix("-bin").map(|f| format!("{f}-py"));
    short.or_else(|| folder.strip_suffix("-binary").map(|f| format!("{f}-python")))
}

/// Archives in `data_folder`, or in the folder of the data set's name, that hold the files as they were published.
pub fn archives(manifest: &Manifest, data_folder: &Path) -> Vec<PathBuf> {
    let Some(folder) = manifest.folder.as_ref().filter(|_| manifest.format == Format::Cifar) else { return vec![] };
    // cifar-10-batches-bin is packed as cifar-10-binary.tar.gz, cifar-100-binary under its own name.
    let stem = folder.as_str().trim_end_matches("-bin").trim_end_matches("-binary").trim_end_matches("-batches");
    let files = ["python", "binary"].map(|kind| format!("{stem}-{kind}.tar.gz"));
    let named = data_folder.join(manifest.name.as_str());
    let parents = [vec![data_folder.to_owned(), named], alike(manifest, data_folder)].concat();
    parents.iter().flat_map(|parent| files.clone().map(|file| parent.join(file))).filter(|p| p.is_file()).collect()
}

/// What `file` may be called in a folder or an archive, best first; the second says whether it is one of Python's pickles.
fn names(manifest: &Manifest, file: &str) -> Vec<(String, bool)> {
    let mut names = vec![(file.to_owned(), false)];
    // `train-images.idx3-ubyte`, as some unpackers write it.
    if manifest.format == Format::Idx && file.contains("-idx") {
        names.push((file.replacen("-idx", ".idx", 1), false));
    }
    if let (Format::Cifar, Some(plain)) = (manifest.format, file.strip_suffix(".bin")) {
        names.push((plain.to_owned(), true));
    }
    names
}

/// `file` in `place`, packed with gzip or not, under the first of its names that is there. A folder of that name is passed over if
/// the packed file lies beside it (some unpackers make one) and an error otherwise.
pub fn input(manifest: &Manifest, place: &Path, file: &str) -> Result<Option<Input>> {
    let mut wrong = None;
    for (name, is_pickle) in names(manifest, file) {
        for (path, packed) in [(place.join(&name), false), (place.join(format!("{name}.gz")), true)] {
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_file() && (!is_pickle || begins_as_pickle(&path)) => {
                    return Ok(Some(Input::file(path, packed)));
                }
                Ok(meta) if meta.is_file() || is_pickle => {}
                Ok(_) => wrong = wrong.or(Some(path)),
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(source) => return Err(FileError::Io { file: path.display().to_string(), source }.into()),
            }
        }
    }
    match wrong {
        Some(path) => Err(not_a_file(&path).into()),
        None => Ok(None),
    }
}

fn begins_as_pickle(path: &Path) -> bool {
    std::fs::File::open(path).is_ok_and(|mut file| is_pickle(&mut file))
}

/// Does what there is to read begin as a pickle does?
pub fn is_pickle(reader: &mut dyn Read) -> bool {
    let mut start = [0; 2];
    reader.read_exact(&mut start).is_ok() && start[0] == 0x80 && (2..=5).contains(&start[1])
}

/// Those of `files` that the archive at `path` holds, in memory.
pub fn inputs_of(manifest: &Manifest, files: &[&str], path: &Path) -> Result<BTreeMap<String, Input>> {
    let wanted = |name: &str| {
        let is = |file: &&&str| names(manifest, file).iter().any(|(known, _)| known == name);
        files.iter().find(is).map(|file| (*file).to_owned())
    };
    let found = archive::members(path, ARCHIVE_BYTES, &wanted)?;
    let input = |(file, bytes): (String, Vec<u8>)| {
        let shown = format!("{}, {file}", path.display());
        (file, Input::memory(shown, bytes))
    };
    Ok(found.into_iter().map(input).collect())
}
