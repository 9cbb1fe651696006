//! The weights of the epoch that scored highest on validation images, beside the result of the run, which is its last epoch's
//!
//! The file is a part of every checkpoint. A run that goes on from one therefore has the best of the epochs that this
//! checkpoint has seen, and a file that an undone epoch has written is replaced, or removed. Only the split called
//! `validation` can choose them.

use super::run_json::Best;
use crate::base::files::replace;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::rc::Rc;

/// Where the weights go unless the script says otherwise.
pub const FILE: &str = "best.safetensors";

/// The files of the best weights, as they must be in the run's folder.
#[derive(Debug, Default)]
pub struct BestWeights {
    pub files: BTreeMap<String, Rc<Vec<u8>>>,
    /// Files of the sitting before, which may be of epochs that are undone.
    pub undone: Vec<String>,
}

impl BestWeights {
    /// Make the run's folder hold these files and none of undone epochs.
    pub fn put_back(&mut self, folder: &Path) -> io::Result<()> {
        // The names come from files that somebody else may have written.
        let inside = |file: &&String| Path::new(file).components().all(|c| matches!(c, Component::Normal(_)));
        for (file, bytes) in self.files.iter().filter(|(file, _)| inside(file)) {
            let path = folder.join(file);
            if std::fs::read(&path).ok().as_ref() != Some(&**bytes) {
                replace(&path, bytes)?;
            }
        }
        let undone = std::mem::take(&mut self.undone);
        for file in undone.iter().filter(inside).filter(|file| !self.files.contains_key(*file)) {
            match std::fs::remove_file(folder.join(file)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

/// An error unless `score` can choose an epoch: a finite number, found on the images called `split`.
pub fn check_score(split: &str, score: f64) -> Result<(), String> {
    if split != "validation" {
        return Err(format!(
            "run.best: the score is of the `{split}` images, and an epoch that is chosen by them looks better than it is; \
             set images apart with dataset(name, #{{ validation: 0.1 }}) and give data.validation"
        ));
    }
    if !score.is_finite() {
        return Err(format!("run.best: the score is {score}; a finite number is wanted, such as an accuracy"));
    }
    Ok(())
}

/// Is `best` better than what its file holds, if it holds something? An error if that is of another loop.
pub fn is_better(best: &Best, old: Option<&Best>) -> Result<bool, String> {
    match old {
        None => Ok(true),
        Some(old) if old.index == best.index => Ok(best.score > old.score),
        Some(old) => Err(format!(
            "run.best: {} is of loop {} ({}), this is loop {} ({}); give each a file of its own: run.best(model, split, \
             score, \"{}_best.safetensors\")",
            best.file,
            old.index + 1,
            named(&old.label),
            best.index + 1,
            named(&best.label),
            if best.label.is_empty() { "second" } else { &best.label }
        )),
    }
}

fn named(label: &str) -> String {
    if label.is_empty() { "without a name".into() } else { format!("`{label}`") }
}
