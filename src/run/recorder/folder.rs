//! Where a run writes: `runs/<date>-<script>-<short id>/` under the working folder, made at the first write, never shared.

use super::best;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Names in a run's folder that are the record's own.
const OWN: [&str; 12] = [
    "run.json",
    "metrics.jsonl",
    "metrics.csv",
    "output.txt",
    "events",
    "checkpoints",
    "source",
    "stdlib",
    ".lock",
    "plots",
    "report.html",
    best::FILE,
];

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
    script: String,
    made: Option<PathBuf>,
}

impl RunFolder {
    /// A folder below `root` for a run of the script called `script`.
    pub fn new(root: impl Into<PathBuf>, script: &str) -> Self {
        Self { root: root.into(), script: script.into(), made: None }
    }

    /// The folder, if something was written already.
    pub fn existing(&self) -> Option<&Path> {
        self.made.as_deref()
    }

    /// Write into this folder, which is there.
    pub fn set(&mut self, folder: PathBuf) {
        self.made = Some(folder);
    }

    /// Is `path`, inside a run's folder, a part of the record that the run itself writes?
    pub fn is_own(path: &Path) -> bool {
        let first = path.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        first.is_some_and(|first| OWN.contains(&first.as_str()))
    }

    /// The path inside the folder of a file that the script names.
    pub fn of_script(&self, file: &str) -> Result<PathBuf, String> {
        let path = self.inside(file)?;
        if Self::is_own(&path) {
            return Err(format!("run folder: `{file}` is a part of the run's own record; choose another name"));
        }
        Ok(path)
    }

    /// `file` as a path inside the folder. A run writes into its own folder only: a name that leads out of it is refused.
    fn inside(&self, file: &str) -> Result<PathBuf, String> {
        let path = Path::new(file);
        if file.is_empty() || !path.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(format!("run folder: `{file}` is no name inside the run's folder; use a plain file name"));
        }
        Ok(path.to_path_buf())
    }

    /// The folder, which is made if need be.
    pub fn made(&mut self) -> Result<PathBuf, String> {
        let made = self.make();
        made.map_err(|e| format!("run folder: cannot be made below {}: {e}", self.root.display()))
    }

    fn make(&mut self) -> io::Result<PathBuf> {
        if let Some(path) = self.existing() {
            return Ok(path.to_path_buf());
        }
        std::fs::create_dir_all(&self.root)?;
        let date = jiff::Zoned::now().strftime("%Y-%m-%d");
        // `create_dir` fails if it exists, so two runs cannot share a folder.
        for attempt in 1.. {
            let path = self.root.join(format!("{date}-{}-{}", self.script, short_id()));
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    self.set(path.clone());
                    return Ok(path);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => {}
                Err(e) => return Err(e),
            }
        }
        unreachable!("the loop returns at the thousandth attempt at the latest")
    }
}

/// Five characters that are most likely nobody else's.
pub fn short_id() -> String {
    // The standard library seeds this hasher at random, once a thread, and differently for each.
    let mut number = RandomState::new().hash_one(std::time::SystemTime::now());
    let mut letter = || {
        let letter = b"abcdefghijkmnpqrstuvwxyz23456789"[(number % 32) as usize];
        number /= 32;
        char::from(letter)
    };
    (0..5).map(|_| letter()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_not_shared_and_names_stay_inside() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (mut a, mut b) = (RunFolder::new(root.path(), "net"), RunFolder::new(root.path(), "net"));
        assert_eq!(a.existing(), None);
        assert_ne!(a.made(), b.made());
        assert_eq!(a.made().ok().as_deref(), a.existing());
        for bad in ["../x", "/etc/x", "", "a/../../b", "."] {
            assert!(a.inside(bad).is_err(), "{bad}");
        }
    }
}
