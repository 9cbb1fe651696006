//! Where the files of a data set are: the first place that holds any of them has to hold all of them, so that files
//! from two sources are never mixed.

use super::places;
use crate::base::files::{cache_folder, quoted};
use crate::data::Options;
use crate::data::error::{Error, Result};
use crate::data::manifest::{Manifest, SplitFiles, Wanted, is_path};
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
    /// The first file of those to train on, where none of them is there: what is to be tested on can be used.
    pub lacks_train: Option<String>,
}

impl Located {
    /// Are the files of the split called `name` not there?
    pub fn lacks(&self, name: &str) -> bool {
        name == "train" && self.lacks_train.is_some()
    }
}

/// Find the files that hold the images which `options` asks for, of the manifest that was loaded under `name`. The training images
/// may be missing as a whole where there are test images.
pub fn for_use(manifest: &Manifest, name: &str, options: &Options) -> Result<Located> {
    let limit = |name: &str| match name {
        "train" => options.train_limit,
        "test" => options.test_limit,
        _ => None,
    };
    let wanted = |(name, files): (&'static str, &SplitFiles)| (name, limit(name).unwrap_or(files.size()));
    let wanted = Wanted(manifest.splits().into_iter().map(wanted).collect());
    let all = manifest.files(&wanted);
    let others = manifest.without_train();
    let shared = others.files(&wanted);
    let own: Vec<&str> = all.iter().filter(|f| !shared.contains(f)).copied().collect();
    let may_lack = if manifest.splits.test.is_some() { own } else { vec![] };
    let mut located = locate(manifest, &all, &may_lack, name, options.data_dir.as_deref())?;
    if located.lacks_train.is_some() {
        // Without those that are wanted, but with others, they are incomplete.
        let all = manifest.files(&manifest.all());
        for file in all.into_iter().filter(|f| !shared.contains(f)) {
            if places::input(manifest, &located.folder, file)?.is_some() {
                let missing = located.lacks_train.unwrap_or_default();
                return Err(incomplete(manifest, &located.folder, file, &missing));
            }
        }
    }
    if let Some(folder) = lacking_folder(manifest, &located) {
        located.lacks_train = Some(folder);
    }
    Ok(located)
}

/// The folder of training pictures, where it is not there and that of test pictures is.
fn lacking_folder(manifest: &Manifest, located: &Located) -> Option<String> {
    let folder = |split: &Option<SplitFiles>| split.as_ref()?.folder.as_ref().map(|f| located.folder.join(f.as_str()));
    let (train, test) = (folder(&manifest.splits.train)?, folder(&manifest.splits.test)?);
    (!train.exists() && test.is_dir()).then(|| train.display().to_string())
}

/// Find `files` of `manifest`, which was loaded under `name`; all of `may_lack` together may be missing.
pub fn locate(
    manifest: &Manifest,
    files: &[&str],
    may_lack: &[&str],
    name: &str,
    data_dir: Option<&Path>,
) -> Result<Located> {
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
    let folders = folders(beside, data_dir, &|key| std::env::var_os(key).map(PathBuf::from));
    search(manifest, files, may_lack, &folders)
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
    Some(Located { inputs, folder: PathBuf::new(), source: "built into the program".into(), lacks_train: None })
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

/// Find `files` in the folder `folder` or one of those that it may hold.
pub fn locate_in(manifest: &Manifest, files: &[&str], folder: &Path) -> Result<Located> {
    search(manifest, files, &[], &[folder.into()])
}

fn search(manifest: &Manifest, files: &[&str], may_lack: &[&str], folders: &[PathBuf]) -> Result<Located> {
    let mut looked = String::new();
    for place in folders.iter().flat_map(|f| places::of(manifest, f)) {
        let mut inputs = BTreeMap::new();
        for file in files {
            if let Some(input) = places::input(manifest, &place, file)? {
                inputs.insert((*file).to_owned(), input);
            }
        }
        if let Some(located) = complete(manifest, files, may_lack, &place, inputs)? {
            return Ok(located);
        }
        let missing = files.first().copied().unwrap_or_default();
        let note = if place.is_dir() { "" } else { " (no such folder)" };
        looked += &format!("\n  {}{note}", place.join(missing).display());
    }
    for archive in folders.iter().flat_map(|f| places::archives(manifest, f)) {
        let inputs = places::inputs_of(manifest, files, &archive)?;
        if let Some(located) = complete(manifest, files, may_lack, &archive, inputs)? {
            return Ok(located);
        }
    }
    let file = files.first().copied().unwrap_or_default().to_owned();
    let dataset = manifest.name.as_str().to_owned();
    let fetch =
        manifest.hub.as_ref().map(|_| format!(", or download it: workbench data fetch {}", quoted(&manifest.asked)));
    Err(Error::NotFound { dataset, file, looked, fetch: fetch.unwrap_or_default() })
}

/// What was found in `place`, if it is all; nothing where that is nothing, an error where it is some.
fn complete(
    manifest: &Manifest,
    files: &[&str],
    may_lack: &[&str],
    place: &Path,
    inputs: BTreeMap<String, Input>,
) -> Result<Option<Located>> {
    let Some(present) = inputs.keys().next() else { return Ok(None) };
    let missing: Vec<&str> = files.iter().filter(|f| !inputs.contains_key(**f)).copied().collect();
    let lacks = may_lack.first().filter(|_| missing == may_lack);
    // Where all of those are missing, and others too, the others are what keeps it from being used.
    let all_lack = may_lack.iter().all(|f| missing.contains(f));
    let other = missing.iter().find(|f| all_lack && !may_lack.contains(f)).or(missing.first());
    match other.filter(|_| lacks.is_none()) {
        None => {
            let (folder, source) = (place.to_owned(), place.display().to_string());
            Ok(Some(Located { inputs, source, folder, lacks_train: lacks.map(|f| (*f).to_owned()) }))
        }
        Some(missing) => Err(incomplete(manifest, place, present, missing)),
    }
}

fn incomplete(manifest: &Manifest, place: &Path, present: &str, missing: &str) -> Error {
    Error::Incomplete {
        dataset: manifest.name.as_str().into(),
        present: present.into(),
        missing: missing.into(),
        enough: manifest.enough_without(missing),
        folder: place.into(),
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
