//! What the script and its host state of a run: settings, data sets, results, values to keep, weights.

use crate::run::front::Run;
use crate::run::recorder::run_json::{Data, Record, Setting};
use crate::compute::error::message;
use crate::compute::random::Key;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// When random bits were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// By this run, from the operating system.
    Now,
    /// By the run that is repeated: whoever made the network may have known them.
    Before,
}

impl Run {
    /// The settings in force are known.
    pub fn set_settings(&self, resolved: Vec<(String, String, bool)>) -> Result<(), String> {
        let settings = resolved.into_iter().map(|(key, value, given)| Setting { key, value, given }).collect();
        self.recorder.borrow_mut().record.settings = settings;
        self.write_record()
    }

    /// The script will load these data sets, in this order: it is a run again that was already, by the script at this path.
    pub fn expect_data(&self, data: Vec<Data>, script: PathBuf) {
        let mut recorder = self.recorder.borrow_mut();
        (recorder.was_loaded, recorder.was_script) = (data.into(), Some(script));
    }

    /// The script will draw these random bits: it is a run again that was already.
    pub fn expect_entropy(&self, drawn: Vec<String>) {
        let mut recorder = self.recorder.borrow_mut();
        (recorder.was_drawn, recorder.repeats) = (drawn.into(), true);
    }

    /// 256 random bits that nobody knew before, from the operating system; the same ones where the run goes on, and where it is
    /// repeated.
    pub fn entropy(&self) -> Result<(Key, Drawn), String> {
        let before = self.recorder.borrow_mut().was_drawn.pop_front();
        let (key, drawn) = match before {
            Some(text) => {
                let key = Key::parse(&text)
                    .ok_or_else(|| format!("run.json: `{text}` is no entropy: 64 hexadecimal digits"))?;
                (key, if self.recorder.borrow().repeats { Drawn::Before } else { Drawn::Now })
            }
            None => (Key::drawn().map_err(|e| message(&e))?, Drawn::Now),
        };
        self.recorder.borrow_mut().record.entropy.push(key.to_string());
        self.write_record()?;
        Ok((key, drawn))
    }

    /// The script is that of a run which had these data sets.
    pub fn know_data(&self, data: Vec<Data>, script: PathBuf) {
        let mut recorder = self.recorder.borrow_mut();
        (recorder.known, recorder.was_script) = (data, Some(script));
    }

    /// Where the data set that the script calls `asked` was when the run began that this one repeats, goes on with or varies, best
    /// first; and whether it will be checked to hold what it held then.
    pub fn data_places(&self, asked: &str) -> (Vec<PathBuf>, bool) {
        let recorder = self.recorder.borrow();
        let is_it = |data: &&Data| data.asked.as_deref().is_none_or(|known| known == asked);
        let next = recorder.was_loaded.front().filter(is_it);
        let known = || recorder.known.iter().find(|data| data.asked.as_deref() == Some(asked) || data.name == asked);
        let beside = recorder.was_script.as_deref().and_then(Path::parent).map(|folder| folder.join(asked));
        let place = |data: &Data| data.place.as_ref().map(PathBuf::from);
        match (next, known()) {
            (Some(data), _) => (place(data).into_iter().chain(beside).collect(), true),
            (None, Some(data)) => (place(data).into_iter().chain(beside).collect(), false),
            (None, None) => (beside.into_iter().filter(|_| !recorder.known.is_empty()).collect(), false),
        }
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

    /// The script states a result: that makes a run of it, with a folder, if there is none yet.
    pub fn result(&self, result: Value) -> Result<(), String> {
        self.recorder.borrow_mut().record.results.push(result);
        if self.is_recorded() {
            self.prepare()?;
        }
        self.write_record()
    }

    /// The run keeps records of an evaluation in this folder.
    pub fn keeps_records(&self, folder: &Path) -> Result<(), String> {
        let inside = self.folder.existing().and_then(|own| folder.strip_prefix(own).ok().map(Path::to_path_buf));
        let name = inside.unwrap_or_else(|| folder.to_path_buf()).display().to_string();
        {
            let records = &mut self.recorder.borrow_mut().record.records;
            if !records.contains(&name) {
                records.push(name);
            }
        }
        self.write_record()
    }

    /// A drawing was made in the run's folder, for the page about the run.
    pub fn drawn(&self, file: &str) -> Result<(), String> {
        {
            let drawings = &mut self.recorder.borrow_mut().record.drawings;
            if !drawings.iter().any(|known| known == file) {
                drawings.push(file.into());
            }
        }
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

    pub(in crate::run) fn keep_weights(&self, path: &Path) {
        let inside = self.folder.existing().and_then(|f| path.strip_prefix(f).ok().map(|p| p.display().to_string()));
        self.recorder.borrow_mut().record.weights = inside;
    }
}
