//! Where the files of a data set are: the first place that holds any of them has to hold all of them, so that files
//! from two sources are never mixed.

use crate::base::files::{cache_folder, quoted};
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::manifest::{Manifest, is_path};
use crate::data::read::Input;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files of a data set, by the names that the manifest gives them, and where they are.
pub struct Located {
    /// One for each of the wanted files.
    pub inputs: BTreeMap<String, Input>,
    /// The folder that they are in; empty for files inside the program.
    pub folder: PathBuf,
    /// The place, for people.
    pub source: String,
}

/// Find `files` of `manifest`, which was loaded under `name`.
pub fn locate(manifest: &Manifest, files: &[&str], name: &str, data_dir: Option<&Path>) -> Result<Located> {
    if let Some(located) = embedded(manifest, files) {
        return Ok(located);
    }
    if let Some(folder) = data_dir
        && !folder.is_dir()
    {
        // A slip in the option must not lead to data from somewhere else.
        let why = if folder.exists() { "is not a folder" } else { "does not exist" };
        return Err(Error::DataDir { folder: folder.into(), why });
    }
    let beside = if is_path(name) { Path::new(name).parent() } else { None };
    search(manifest, files, &folders(beside, data_dir, &|key| std::env::var_os(key).map(PathBuf::from)))
}

fn embedded(manifest: &Manifest, files: &[&str]) -> Option<Located> {
    let mut inputs = BTreeMap::new();
    for &file in files {
        let packed = format!("{file}.gz");
        let shown = |f: &str| format!("{f} (built in)");
        let input = match (manifest.embedded(file), manifest.embedded(&packed)) {
            (Some(bytes), _) => Input::embedded(shown(file), bytes, false),
            (None, Some(bytes)) => Input::embedded(shown(&packed), bytes, true),
            (None, None) => return None,
        };
        inputs.insert(file.to_owned(), input);
    }
    Some(Located { inputs, folder: PathBuf::new(), source: "built into the program".into() })
}

/// The data folders in the order in which they are tried. Files beside a manifest of one's own come first: they are
/// what it was written for.
fn folders(beside: Option<&Path>, data_dir: Option<&Path>, env: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    // An environment variable that is set to nothing counts as not set.
    let env = |key: &str| env(key).filter(|value| !value.as_os_str().is_empty());
    let cache = cache_folder(&env);
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(beside.map(|p| if p.as_os_str().is_empty() { PathBuf::from(".") } else { p.into() }));
    folders.extend(data_dir.map(PathBuf::from));
    folders.extend(env("WORKBENCH_DATA"));
    folders.extend(cache.map(|p| p.join("datasets")));
    folders
}

/// Where a data folder may hold the files: under the data set's name and directly, each with and without the folder that
/// the archive makes.
fn places(manifest: &Manifest, data_folder: &Path) -> Vec<PathBuf> {
    let unpacked = manifest.folder.as_ref().map(|f| f.as_str());
    let named = data_folder.join(manifest.name.as_str());
    let inner = [named.as_path(), data_folder].map(|p| unpacked.map(|u| p.join(u)));
    inner.into_iter().flatten().chain([named.clone(), data_folder.into()]).collect()
}

/// Find `files` in the folder `folder` or one of those that it may hold.
pub fn locate_in(manifest: &Manifest, files: &[&str], folder: &Path) -> Result<Located> {
    search(manifest, files, &[folder.into()])
}

fn search(manifest: &Manifest, files: &[&str], folders: &[PathBuf]) -> Result<Located> {
    let mut looked = String::new();
    for place in folders.iter().flat_map(|f| places(manifest, f)) {
        let mut inputs = BTreeMap::new();
        for file in files {
            if let Some(input) = in_place(&place, file)? {
                inputs.insert((*file).to_owned(), input);
            }
        }
        let missing = files.iter().find(|f| !inputs.contains_key(**f));
        match (missing, inputs.keys().next()) {
            (None, _) => return Ok(Located { inputs, source: place.display().to_string(), folder: place }),
            (Some(missing), Some(present)) => {
                return Err(Error::Incomplete {
                    dataset: manifest.name.as_str().into(),
                    present: present.as_str().into(),
                    missing: (*missing).into(),
                    enough: manifest.enough_without(missing),
                    folder: place,
                });
            }
            (Some(missing), None) => {
                let note = if place.is_dir() { "" } else { " (no such folder)" };
                looked += &format!("\n  {}{note}", place.join(missing).display());
            }
        }
    }
    let file = files.first().copied().unwrap_or_default().to_owned();
    let dataset = manifest.name.as_str().to_owned();
    let fetch =
        manifest.hub.as_ref().map(|_| format!(", or download it: workbench data fetch {}", quoted(&manifest.asked)));
    Err(Error::NotFound { dataset, file, looked, fetch: fetch.unwrap_or_default() })
}

/// `file` or `file.gz` in `place`. A folder of that name is passed over if the packed file lies beside it (some
/// unpackers make one) and an error otherwise.
fn in_place(place: &Path, file: &str) -> Result<Option<Input>> {
    let mut wrong = None;
    for (path, packed) in [(place.join(file), false), (place.join(format!("{file}.gz")), true)] {
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_file() => return Ok(Some(Input::file(path, packed))),
            Ok(_) => wrong = wrong.or(Some(path)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound || e.kind() == std::io::ErrorKind::NotADirectory => {}
            Err(source) => return Err(FileError::Io { file: path.display().to_string(), source }.into()),
        }
    }
    match wrong {
        Some(path) => Err(crate::data::read::not_a_file(&path).into()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_in_the_documented_order() {
        let env = |key: &str| match key {
            "WORKBENCH_DATA" => Some(PathBuf::from("/env")),
            "XDG_CACHE_HOME" => Some(PathBuf::from("/xdg")),
            "HOME" => Some(PathBuf::from("/home/me")),
            _ => None,
        };
        let all = folders(Some(Path::new("")), Some(Path::new("given")), &env);
        assert_eq!(all, [".", "given", "/env", "/xdg/workbench/datasets"].map(PathBuf::from));
    }

    #[test]
    fn empty_and_relative_variables_count_as_unset() {
        let env = |key: &str| match key {
            "WORKBENCH_DATA" => Some(PathBuf::new()),
            "XDG_CACHE_HOME" => Some(PathBuf::from("relative")),
            "HOME" => Some(PathBuf::from("/home/me")),
            _ => None,
        };
        assert_eq!(folders(None, None, &env), [PathBuf::from("/home/me/.cache/workbench/datasets")]);
        assert!(folders(None, None, &|_| None).is_empty());
    }
}
