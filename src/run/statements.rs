//! What the script and its host state of a run: settings, data sets, results, values to keep, weights.

use super::progress::Run;
use super::run_json::{Data, Record, Setting};
use serde_json::Value;
use std::path::Path;

impl Run {
    /// The settings in force are known.
    pub fn set_settings(&self, resolved: Vec<(String, String, bool)>) -> Result<(), String> {
        let settings = resolved.into_iter().map(|(key, value, given)| Setting { key, value, given }).collect();
        self.recorder.borrow_mut().record.settings = settings;
        self.write_record()
    }

    /// The script will load these data sets, in this order: it is a run again that was already.
    pub fn expect_data(&self, data: Vec<Data>) {
        self.recorder.borrow_mut().was_loaded = data.into();
    }

    /// What is known about the run.
    pub fn described(&self) -> Record {
        self.recorder.borrow().record.clone()
    }

    /// A data set was loaded. A run that goes on, or is run again, has to have the same one.
    pub fn add_data(&self, data: impl FnOnce() -> Result<Data, String>) -> Result<(), String> {
        if !self.is_recorded() {
            return Ok(());
        }
        let data = self.overhead.time(data)?;
        let mut recorder = self.recorder.borrow_mut();
        let old = recorder.was_loaded.pop_front();
        if old.is_some_and(|old| old.name != data.name || old.splits != data.splits) {
            return Err(format!(
                "dataset: `{}` does not hold what it held when the run began, which this one goes on with or repeats; bring \
                 that back, or begin anew",
                data.name
            ));
        }
        recorder.record.data.push(data);
        drop(recorder);
        self.write_record()
    }

    /// The script states a result.
    pub fn result(&self, result: Value) -> Result<(), String> {
        self.recorder.borrow_mut().record.results.push(result);
        // Alone it makes no folder: a script that evaluates and saves nothing leaves none behind.
        self.write_record()
    }

    /// Keep a value of the script's under a name, in every checkpoint from now on.
    pub fn keep(&self, name: &str, value: Value) {
        if self.is_watched() {
            self.used_before_pass("run.keep");
        }
        self.recorder.borrow_mut().kept.insert(name.into(), value);
    }

    /// What is kept under a name.
    pub fn kept(&self, name: &str) -> Option<Value> {
        self.recorder.borrow().kept.get(name).cloned()
    }

    pub(super) fn keep_weights(&self, path: &Path) {
        let inside = self.folder.existing().and_then(|f| path.strip_prefix(f).ok().map(|p| p.display().to_string()));
        self.recorder.borrow_mut().record.weights = inside;
    }
}
