//! The writing hand of a run: its folder with `run.json`, the script and all its modules, the metrics as they come, and what
//! was printed.
//!
//! The folder is made when the script first trains or saves something. While the run is under way it is locked, so that
//! two processes cannot continue one run. What is kept of scripts are the files' own bytes, byte order marks included.

use super::best::{BestWeights, is_better};
use super::earlier::Earlier;
use super::folder::RunFolder;
use super::lock::lock;
use super::overhead::Overhead;
use super::rows::{Lengths, Row, Rows};
use super::run_json::{Best, Record, Sitting, Status};
use crate::base::files::replace;
use crate::base::hex::hex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// The texts that a run consists of: path under the run's folder, content.
pub type Sources = Vec<(String, String)>;

/// So many bytes that are printed before there is a folder are kept for it.
const EARLY_OUTPUT: usize = 16 << 20;

/// Writes down what a run is and comes to.
pub struct Recorder {
    folder: RunFolder,
    record: Record,
    stage: Stage,
    /// The run before, as far as this one has to do with it.
    pub earlier: Earlier,
    best: BestWeights,
    /// Where weights were saved last.
    saved: Option<PathBuf>,
    sources: Box<dyn Fn() -> Sources>,
    overhead: Rc<Overhead>,
    lock: Option<File>,
    /// Has another process the run's folder?
    aside: bool,
    began: Option<Instant>,
}

enum Stage {
    /// At the prompt nothing is written down.
    Off,
    /// Nothing is written yet; what was printed so far.
    Waiting(String),
    Open {
        rows: Rows,
        output: File,
    },
}

/// The files in the folder are open, and end where the run goes on.
#[derive(Debug)]
pub struct Opened(());

impl Recorder {
    pub fn new(folder: RunFolder) -> Self {
        Self {
            folder,
            record: Record::default(),
            stage: Stage::Off,
            earlier: Earlier::default(),
            best: BestWeights::default(),
            saved: None,
            sources: Box::new(Vec::new),
            overhead: Rc::default(),
            lock: None,
            aside: false,
            began: None,
        }
    }

    /// From now on the run is written down.
    pub fn begin(&mut self, record: Record, sources: Box<dyn Fn() -> Sources>) {
        (self.record, self.sources, self.began) = (record, sources, Some(Instant::now()));
        self.stage = Stage::Waiting(String::new());
    }

    pub fn is_on(&self) -> bool {
        !matches!(self.stage, Stage::Off)
    }

    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// The run's folder, if there is one already.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.existing()
    }

    /// The folder, once something is written there.
    pub fn written(&self) -> Option<PathBuf> {
        self.folder().filter(|_| self.is_open()).map(Path::to_path_buf)
    }

    /// Write into this folder, which is there.
    pub fn set_folder(&mut self, folder: PathBuf) {
        self.folder.set(folder);
    }

    /// The folder, which is made if need be.
    pub fn make_folder(&mut self) -> Result<PathBuf, String> {
        self.folder.made()
    }

    /// The path inside the folder of a file that the script names.
    pub fn path_inside(&self, file: &str) -> Result<PathBuf, String> {
        self.folder.of_script(file)
    }

    /// `path` as it is called inside the folder, if it lies there.
    pub fn name_inside(&self, path: &Path) -> Option<String> {
        path.strip_prefix(self.folder()?).ok().map(|inside| inside.display().to_string())
    }

    /// Go on with the run in `folder`: nobody else does, but for the processes that stand `aside` of the one that has it. What it was.
    pub fn take_over(&mut self, folder: &Path, aside: bool) -> Result<Record, String> {
        let old = Record::read(folder)?;
        self.aside = aside;
        if !aside {
            self.set_folder(folder.to_path_buf());
            self.lock = Some(lock(folder)?);
        }
        self.record.sittings = old.sittings.clone();
        self.record.weights = old.weights.clone();
        self.earlier.expect_entropy(old.entropy.clone());
        self.best.undone = old.best.iter().map(|best| best.file.clone()).collect();
        Ok(old)
    }

    /// A checkpoint was found to go on from, at which so much time was spent, on recording among it.
    pub fn go_on(&mut self, old: Record, seconds: f64, recording: f64) {
        (self.record.seconds, self.record.recording_seconds) = (seconds, recording);
        self.earlier.expect_data(old.data, old.script.into());
    }

    /// Open the files in the folder, none longer than `lengths`; a new sitting goes on `from` there. The record itself is to be
    /// written next.
    pub fn open(&mut self, lengths: Lengths, from: &str) -> Result<Opened, String> {
        let folder = self.folder.made()?;
        // Another process has what was written before.
        let lengths = if self.aside { Lengths::default() } else { lengths };
        if self.lock.is_none() {
            self.lock = Some(lock(&folder)?);
        }
        let overhead = self.overhead.clone();
        overhead.time(|| self.open_files(&folder, lengths, from))
    }

    fn open_files(&mut self, folder: &Path, lengths: Lengths, from: &str) -> Result<Opened, String> {
        let failed = |e: std::io::Error| format!("run folder: {}: {e}", folder.display());
        self.best.put_back(folder).map_err(failed)?;
        let rows = Rows::open(folder, lengths).map_err(failed)?;
        let mut options = OpenOptions::new();
        let mut output = options.create(true).append(true).open(folder.join("output.txt")).map_err(failed)?;
        if let Stage::Waiting(printed) = &mut self.stage {
            output.write_all(std::mem::take(printed).as_bytes()).map_err(failed)?;
        }
        self.write_sources(folder)?;
        self.stage = Stage::Open { rows, output };
        let began = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S %z").to_string();
        self.record.sittings.push(Sitting { began, from: from.into(), threads: self.record.threads });
        self.record.status = Status::Running;
        Ok(Opened(()))
    }

    fn write_sources(&mut self, folder: &Path) -> Result<(), String> {
        for (name, text) in (self.sources)() {
            let sum = hex(&Sha256::digest(&text));
            if self.record.files.get(&name) == Some(&sum) {
                continue;
            }
            let path = folder.join(&name);
            replace(&path, text.as_bytes()).map_err(|e| format!("{}: {e}", path.display()))?;
            self.record.files.insert(name, sum);
        }
        Ok(())
    }

    /// What is known about the run.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Something more is known about the run.
    pub fn state(&mut self, change: impl FnOnce(&mut Record)) -> Result<(), String> {
        change(&mut self.record);
        self.write_record()
    }

    /// Something more is known, which is written down with the next thing that is.
    pub fn state_later(&mut self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record);
    }

    pub fn write_record(&self) -> Result<(), String> {
        let Some(folder) = self.written() else { return Ok(()) };
        let record = Record { recording_seconds: self.recording_seconds(), ..self.record.clone() };
        self.overhead.time(|| record.write(&folder))
    }

    /// Time spent on this run in all its sittings.
    pub fn seconds(&self) -> f64 {
        self.record.seconds + self.began.map_or(0.0, |began| began.elapsed().as_secs_f64())
    }

    /// Of it, the time that went into the record.
    pub fn recording_seconds(&self) -> f64 {
        self.record.recording_seconds + self.overhead.seconds()
    }

    /// The clock of what recording costs.
    pub fn overhead(&self) -> Rc<Overhead> {
        self.overhead.clone()
    }

    /// A line was printed.
    pub fn keep_output(&mut self, text: &str) {
        match &mut self.stage {
            // What was printed is on the screen too; the numbers of the record have messages of their own.
            Stage::Open { output, .. } => drop(writeln!(output, "{text}")),
            Stage::Waiting(printed) if printed.len() < EARLY_OUTPUT => {
                printed.push_str(text);
                printed.push('\n');
            }
            _ => {}
        }
    }

    /// An epoch or a window of batches is over: its row.
    pub fn add_row(&mut self, row: &Row) -> Result<(), String> {
        let Stage::Open { rows, .. } = &mut self.stage else { return Ok(()) };
        if row.values.is_empty() {
            return Ok(());
        }
        self.overhead
            .time(|| rows.add(row))
            .map_err(|e| format!("run folder: the metrics cannot be written: {e}; make room, then go on with --resume"))
    }

    /// Wait until all rows are on the disk; how long their files are.
    pub fn sync(&self) -> Result<Lengths, String> {
        let Stage::Open { rows, .. } = &self.stage else { return Ok(Lengths::default()) };
        rows.sync().map_err(|e| format!("run folder: the metrics cannot be written: {e}"))
    }

    /// Weights of a network, which is described, were saved: for the message after an interruption and for what is made of the run.
    pub fn saved_weights(&mut self, path: PathBuf, network: String) {
        self.record.weights = self.name_inside(&path);
        self.record.network = Some(network);
        self.saved = Some(path);
    }

    /// Where weights were saved last, in this sitting.
    pub fn saved(&self) -> Option<&Path> {
        self.saved.as_deref()
    }

    /// Are weights the best so far?
    pub fn is_best(&self, best: &Best) -> Result<bool, String> {
        let old = self.record.best.iter().find(|old| old.file == best.file);
        // At the prompt every loop is an experiment of its own.
        is_better(best, old.filter(|old| old.index == best.index || self.is_on()))
    }

    /// They are, and the file holds `bytes` now.
    pub fn add_best(&mut self, best: Best, bytes: Vec<u8>) -> Result<(), String> {
        self.best.files.insert(best.file.clone(), Rc::new(bytes));
        self.record.best.retain(|old| old.file != best.file);
        self.record.best.push(best);
        self.write_record()
    }

    /// The files of the best weights.
    pub fn best_files(&self) -> &BTreeMap<String, Rc<Vec<u8>>> {
        &self.best.files
    }

    /// Results and best weights as they were at a checkpoint.
    pub fn put_back(&mut self, results: &[Value], best: &[Best], files: BTreeMap<String, Rc<Vec<u8>>>) {
        (self.record.results, self.record.best, self.best.files) = (results.to_vec(), best.to_vec(), files);
    }

    /// The script has ended.
    pub fn finish(&mut self, status: Status) -> Result<(), String> {
        let Some(folder) = self.written() else { return Ok(()) };
        let overhead = self.overhead.clone();
        overhead.time(|| self.write_sources(&folder))?;
        (self.record.status, self.record.seconds) = (status, self.seconds());
        self.began = None;
        self.write_record()
    }
}
