//! Where a run writes: `runs/<date>-<time>-<script>/` under the working folder, made at the first write, never shared.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    root: PathBuf,
    script: String,
    made: RefCell<Option<PathBuf>>,
}

impl RunFolder {
    /// A folder below `root` for a run of the script called `script`.
    pub fn new(root: impl Into<PathBuf>, script: &str) -> Self {
        Self { root: root.into(), script: script.into(), made: RefCell::new(None) }
    }

    /// The folder, if something was written already.
    pub fn existing(&self) -> Option<PathBuf> {
        self.made.borrow().clone()
    }

    /// The path of `file` in the folder, which is made if need be. A run writes into its own folder only: a name that
    /// leads out of it is refused.
    pub fn path(&self, file: &str) -> Result<PathBuf, String> {
        let plain = Path::new(file).components().all(|c| matches!(c, std::path::Component::Normal(_)));
        if file.is_empty() || !plain {
            return Err(format!("run folder: `{file}` is no name inside the run's folder; use a plain file name"));
        }
        let folder =
            self.make().map_err(|e| format!("run folder: cannot be made below {}: {e}", self.root.display()))?;
        Ok(folder.join(file))
    }

    fn make(&self) -> io::Result<PathBuf> {
        if let Some(path) = self.existing() {
            return Ok(path);
        }
        std::fs::create_dir_all(&self.root)?;
        let stamp = jiff::Zoned::now().strftime("%Y-%m-%d-%H%M%S");
        // `create_dir` fails if it exists, so two runs of the same second cannot share a folder.
        for attempt in 1.. {
            let suffix = if attempt == 1 { String::new() } else { format!("-{attempt}") };
            let path = self.root.join(format!("{stamp}-{}{suffix}", self.script));
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    *self.made.borrow_mut() = Some(path.clone());
                    return Ok(path);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => {}
                Err(e) => return Err(e),
            }
        }
        unreachable!("the loop returns at the thousandth attempt at the latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_not_shared_and_names_stay_inside() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (a, b) = (RunFolder::new(root.path(), "net"), RunFolder::new(root.path(), "net"));
        assert_eq!(a.existing(), None);
        let (x, y) = (a.path("w").expect("a path"), b.path("w").expect("a path"));
        assert_ne!(x.parent(), y.parent());
        assert_eq!(a.path("v").expect("a path").parent(), x.parent());
        for bad in ["../x", "/etc/x", "", "a/../../b", "."] {
            assert!(a.path(bad).is_err(), "{bad}");
        }
    }
}
