//! The weights of the epoch that scored highest on validation images, beside the result of the run, which is its last epoch's
//!
//! The file is a part of every checkpoint. A run that goes on from one therefore has the best of the epochs that this
//! checkpoint has seen, and a file that an undone epoch has written is replaced, or removed.

use crate::run::resume::checkpoint::Piece;
use crate::run::front::Run;
use super::run_json::Best;
use crate::compute::files::replace;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::rc::Rc;

/// Where the weights go unless the script says otherwise.
pub const FILE: &str = "best.safetensors";

/// The files of the best weights, as they must be in the run's folder.
#[derive(Debug, Default)]
pub struct BestFiles {
    pub files: BTreeMap<String, Rc<Vec<u8>>>,
    /// Files of the sitting before, which may be of epochs that are undone.
    pub undone: Vec<String>,
}

impl BestFiles {
    /// Those that a checkpoint holds.
    pub fn read(best: &[Best], tensors: &SafeTensors) -> Result<BTreeMap<String, Rc<Vec<u8>>>, String> {
        let file = |best: &Best| {
            let found = tensors.tensor(&format!("best/{}", best.file));
            let found = found.map_err(|e| format!("resume: the checkpoint lacks {}: {e}", best.file))?;
            Ok((best.file.clone(), Rc::new(found.data().to_vec())))
        };
        best.iter().map(file).collect()
    }

    /// For a checkpoint.
    pub fn pieces(&self) -> Vec<Piece> {
        let piece = |(file, bytes): (&String, &Rc<Vec<u8>>)| {
            let own = bytes.clone();
            Piece {
                name: format!("best/{file}"),
                dtype: Dtype::U8,
                shape: vec![bytes.len()],
                write: Box::new(move |out| out.write_all(&own)),
            }
        };
        self.files.iter().map(piece).collect()
    }

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

impl Run {
    /// Keep the weights that `save` writes if `score`, found on the images called `split`, is the highest so far. Was it?
    pub fn best(
        &self,
        split: &str,
        score: f64,
        file: Option<&str>,
        save: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<bool, String> {
        if split != "validation" {
            return Err(format!(
                "run.best: the score is of the `{split}` images, and an epoch that is chosen by them looks better than it is; \
                 set images apart with dataset(name, #{{ validation: 0.1 }}) and give data.validation"
            ));
        }
        if !score.is_finite() {
            return Err(format!("run.best: the score is {score}; a finite number is wanted, such as an accuracy"));
        }
        let (in_epoch, index, label, epoch) = {
            let state = self.state.borrow();
            (state.in_epoch, state.index, state.label.clone(), state.epoch + 1)
        };
        if !in_epoch {
            return Err("run.best: no loop over run.epochs(...) is under way; call it inside one".into());
        }
        let path = match file {
            None => self.prepare()?.join(FILE),
            Some(file) => self.file(file)?,
        };
        let best = Best { file: file.unwrap_or(FILE).into(), score, index: index - 1, label, epoch };
        let old = self.recorder.borrow().record.best.iter().find(|old| old.file == best.file).cloned();
        // At the prompt every loop is an experiment of its own.
        let old = old.filter(|old| old.index == best.index || self.is_recorded());
        if let Some(old) = &old {
            if old.index != best.index {
                return Err(format!(
                    "run.best: {} is of loop {} ({}), this is loop {} ({}); give each a file of its own: run.best(model, split, \
                     score, \"{}_best.safetensors\")",
                    best.file,
                    old.index + 1,
                    named(&old.label),
                    best.index + 1,
                    named(&best.label),
                    if best.label.is_empty() { "second" } else { &best.label }
                ));
            }
            if best.score <= old.score {
                return Ok(false);
            }
        }
        save(&path)?;
        let bytes = std::fs::read(&path).map_err(|e| format!("run.best: {}: {e}", path.display()))?;
        let mut recorder = self.recorder.borrow_mut();
        recorder.best.files.insert(best.file.clone(), Rc::new(bytes));
        recorder.record.best.retain(|old| old.file != best.file);
        recorder.record.best.push(best);
        drop(recorder);
        self.write_record()?;
        Ok(true)
    }
}

fn named(label: &str) -> String {
    if label.is_empty() { "without a name".into() } else { format!("`{label}`") }
}
