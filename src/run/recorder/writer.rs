//! What a run writes down: its folder with `run.json`, the script and all its modules, the metrics as they come, and what
//! was printed.
//!
//! The folder is made when the script first trains or saves something. While the run is under way it is locked, so that
//! two processes cannot continue one run.

use super::best::BestFiles;
use crate::run::resume::checkpoint;
use crate::run::archive::commands;
use crate::run::archive::links::refuse_links_out;
use super::lock::lock;
use crate::run::front::Run;
use crate::run::resume::stage::{Resume, Writing, latest};
use super::rows::{Lengths, Row, Rows};
use super::run_json::{Data, Record, Sitting, Status};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How a run is written down.
#[derive(Clone, Debug)]
pub struct Options {
    /// The largest share of the time that goes into checkpoints which a script asks for.
    pub share: f64,
    /// Are the stores of power-iteration vectors a part of checkpoints?
    pub vectors: bool,
    /// A checkpoint in the middle of an epoch after so long.
    pub every: Option<Duration>,
    /// So many batches make a window of the record.
    pub window: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { share: 0.01, vectors: true, every: None, window: 50 }
    }
}

/// The texts that a run consists of: path under the run's folder, content.
type Sources = Vec<(String, String)>;

/// The writing hand of a run.
#[derive(Default)]
pub struct Recorder {
    pub options: Options,
    pub record: Record,
    pub(in crate::run) writing: Writing,
    pub(in crate::run) resume: Option<Resume>,
    pub kept: Map<String, Value>,
    /// Why the run cannot go on inside an epoch, if it cannot.
    pub(in crate::run) carried: Option<String>,
    pub(in crate::run) best: BestFiles,
    on: bool,
    /// The data sets that the run had when it began, and that the script has not loaded again yet.
    pub(in crate::run) was_loaded: VecDeque<Data>,
    /// The data sets of the run that this one is a variation of, and the path of its script: where to look, if that is allowed.
    pub(in crate::run) known: Vec<Data>,
    pub(in crate::run) was_script: Option<PathBuf>,
    /// The random bits of the run that goes on here, or is repeated, which the script has not asked for again yet.
    pub(in crate::run) was_drawn: VecDeque<String>,
    pub(in crate::run) repeats: bool,
    sources: Option<Box<dyn Fn() -> Sources>>,
    /// Where the files of metrics go on, and from what the run does.
    goes_on: Option<(Lengths, String)>,
    rows: Option<Rows>,
    output: Option<File>,
    /// What was printed before there was a folder.
    printed: String,
    lock: Option<File>,
    began: Option<Instant>,
}

/// So many bytes that are printed before there is a folder are kept for it.
const EARLY_OUTPUT: usize = 16 << 20;

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
    super::best::FILE,
];

impl Recorder {
    /// Time spent on this run in all its sittings.
    pub(in crate::run) fn seconds(&self) -> f64 {
        self.record.seconds + self.began.map_or(0.0, |began| began.elapsed().as_secs_f64())
    }

    pub(in crate::run) fn is_time_for_checkpoint(&self) -> bool {
        self.options
            .every
            .is_some_and(|every| self.writing.since().or(self.began).is_some_and(|t| t.elapsed() >= every))
    }
}

impl Run {
    /// From now on the run is written down: a script is run, not an input at the prompt.
    pub fn record(&self, record: Record, options: Options, sources: Box<dyn Fn() -> Sources>) {
        let mut recorder = self.recorder.borrow_mut();
        let (sources, began) = (Some(sources), Some(Instant::now()));
        *recorder = Recorder { options, record, on: true, sources, began, ..Recorder::default() };
    }

    /// What a script carries from batch to batch beside its objects: then the run cannot go on inside an epoch.
    pub fn set_carried(&self, carried: Option<String>) {
        self.recorder.borrow_mut().carried = carried.map(|what| format!("{what} changes from batch to batch"));
    }

    /// Is the run written down? At the prompt it is not.
    pub fn is_recorded(&self) -> bool {
        self.recorder.borrow().on
    }

    /// Go on with the run in `folder`, from its last good checkpoint. Nothing in it changes before the script has come to
    /// the checkpoint's loop and everything has been put back.
    pub fn resume(&self, folder: &Path) -> Result<(), String> {
        refuse_links_out(folder)?;
        self.folder.set(folder.to_path_buf());
        let old = Record::read(folder)?;
        self.recorder.borrow_mut().lock = Some(lock(folder)?);
        let checkpoints = self.checkpoints()?;
        checkpoint::tidy(&checkpoints);
        let found = latest(&checkpoints, &|message| self.note(&format!("note: {message}")));
        let mut recorder = self.recorder.borrow_mut();
        recorder.record.sittings = old.sittings;
        recorder.was_drawn = old.entropy.into();
        recorder.record.weights = old.weights;
        recorder.best.undone = old.best.into_iter().map(|best| best.file).collect();
        let (lengths, from) = match found {
            Some((number, path, found)) => {
                let highest = checkpoint::numbered(&checkpoints).first().map_or(number, |(n, _)| *n);
                recorder.writing = Writing::after(highest, Some(path.clone()));
                recorder.record.seconds = found.state.seconds;
                recorder.record.recording_seconds = found.state.recording;
                recorder.kept = found.state.kept.clone();
                recorder.was_loaded = old.data.into();
                recorder.was_script = Some(old.script.clone().into());
                let state = &found.state;
                let from = state.position.describe();
                let mut notes = vec![format!("resumed from {}, {}", from, path.display())];
                if !state.vectors {
                    notes.push("note: the checkpoint is without the power-iteration vectors, which start anew: the run will not end bit for bit as an uninterrupted one".into());
                }
                if state.threads != recorder.record.threads || state.device != recorder.record.device {
                    notes.push(format!(
                        "note: the run was on {} with {} threads, it goes on on {} with {}: it may not end bit for bit as \
                         an uninterrupted one",
                        state.device, state.threads, recorder.record.device, recorder.record.threads
                    ));
                }
                let lengths = state.lengths;
                recorder.resume = Some(Resume::new(found));
                drop(recorder);
                notes.iter().for_each(|text| self.note(text));
                (lengths, from)
            }
            None => {
                drop(recorder);
                self.note("there is no checkpoint to go on from: the run begins anew, in the same folder");
                (Lengths::default(), "the beginning".into())
            }
        };
        self.recorder.borrow_mut().goes_on = Some((lengths, from));
        Ok(())
    }

    /// Write down what the run is, in its folder, before the script writes anything.
    pub fn write_down(&self) -> Result<(), String> {
        self.prepare().map(|_| ())
    }

    /// The run's folder, made and described if need be.
    pub(in crate::run) fn prepare(&self) -> Result<PathBuf, String> {
        let folder = self.folder.made()?;
        let ready = |recorder: &Recorder| !recorder.on || recorder.rows.is_some() || recorder.resume.is_some();
        if ready(&self.recorder.borrow()) {
            return Ok(folder);
        }
        if self.recorder.borrow().lock.is_none() {
            self.recorder.borrow_mut().lock = Some(lock(&folder)?);
        }
        let goes_on = self.recorder.borrow_mut().goes_on.take();
        let (lengths, from) = goes_on.unwrap_or((Lengths::default(), "the beginning".into()));
        self.overhead.time(|| self.open(&folder, lengths, &from))?;
        Ok(folder)
    }

    fn open(&self, folder: &Path, lengths: Lengths, from: &str) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("run folder: {}: {e}", folder.display());
        self.recorder.borrow_mut().best.put_back(folder).map_err(failed)?;
        let rows = Rows::open(folder, lengths).map_err(failed)?;
        let mut options = OpenOptions::new();
        let mut output = options.create(true).append(true).open(folder.join("output.txt")).map_err(failed)?;
        let mut recorder = self.recorder.borrow_mut();
        output.write_all(std::mem::take(&mut recorder.printed).as_bytes()).map_err(failed)?;
        let threads = recorder.record.threads;
        let began = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S %z").to_string();
        recorder.record.sittings.push(Sitting { began, from: from.into(), threads });
        (recorder.rows, recorder.output) = (Some(rows), Some(output));
        recorder.record.status = Status::Running;
        drop(recorder);
        self.write_sources(folder)?;
        self.write_record()
    }

    /// The path of `file`, which the script names, in the run's folder.
    pub fn file(&self, file: &str) -> Result<PathBuf, String> {
        let path = self.folder.inside(file)?;
        if Self::is_own(&path) {
            return Err(format!("run folder: `{file}` is a part of the run's own record; choose another name"));
        }
        Ok(self.prepare()?.join(path))
    }

    /// Is `path`, inside a run's folder, a part of the record that the run itself writes?
    pub fn is_own(path: &Path) -> bool {
        let first = path.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        first.is_some_and(|first| OWN.contains(&first.as_str()))
    }

    pub(in crate::run) fn checkpoints(&self) -> Result<PathBuf, String> {
        Ok(self.folder.made()?.join("checkpoints"))
    }

    fn write_sources(&self, folder: &Path) -> Result<(), String> {
        let sources = self.recorder.borrow().sources.as_ref().map(|sources| sources()).unwrap_or_default();
        for (name, text) in sources {
            let sum = checkpoint::hex(&Sha256::digest(&text));
            if self.recorder.borrow().record.files.get(&name) == Some(&sum) {
                continue;
            }
            let path = folder.join(&name);
            crate::compute::files::replace(&path, text.as_bytes()).map_err(|e| format!("{}: {e}", path.display()))?;
            self.recorder.borrow_mut().record.files.insert(name, sum);
        }
        Ok(())
    }

    pub(in crate::run) fn write_record(&self) -> Result<(), String> {
        let recorder = self.recorder.borrow();
        let Some(folder) = self.folder.existing().filter(|_| recorder.on && recorder.rows.is_some()) else {
            return Ok(());
        };
        let record = Record { recording_seconds: self.recording_seconds(&recorder), ..recorder.record.clone() };
        self.overhead.time(|| record.write(&folder))
    }

    /// Time that went into the record, in all sittings.
    pub(in crate::run) fn recording_seconds(&self, recorder: &Recorder) -> f64 {
        recorder.record.recording_seconds + self.overhead.seconds()
    }

    pub(in crate::run) fn keep_output(&self, text: &str) {
        let Ok(mut recorder) = self.recorder.try_borrow_mut() else { return };
        if let Some(file) = &mut recorder.output {
            // What was printed is on the screen too; the numbers of the record have messages of their own.
            let _ = writeln!(file, "{text}");
        } else if recorder.on && recorder.printed.len() < EARLY_OUTPUT {
            recorder.printed.push_str(text);
            recorder.printed.push('\n');
        }
    }

    /// An epoch is over: its row.
    pub(in crate::run) fn record_epoch(&self) -> Result<(), String> {
        let state = self.state.borrow();
        self.add_row(None, state.last.clone())
    }

    /// A window of batches may be full: its row.
    pub(in crate::run) fn window_is_full(&self, batch: usize) -> Result<(), String> {
        if self.state.borrow().window < self.recorder.borrow().options.window {
            return Ok(());
        }
        crate::run::front::read_back(&mut self.state.borrow_mut())?;
        let values = {
            let mut state = self.state.borrow_mut();
            state.window = 0;
            state.metrics.take_window()
        };
        self.add_row(Some(batch), values)
    }

    fn add_row(&self, batch: Option<usize>, values: Vec<(String, f64)>) -> Result<(), String> {
        let state = self.state.borrow();
        let mut recorder = self.recorder.borrow_mut();
        let seconds = recorder.seconds();
        let Some(rows) = recorder.rows.as_mut().filter(|_| !values.is_empty()) else { return Ok(()) };
        let row = Row { label: &state.label, epoch: state.epoch + 1, batch, step: state.step, seconds, values };
        self.overhead
            .time(|| rows.add(&row))
            .map_err(|e| format!("run folder: the metrics cannot be written: {e}; make room, then go on with --resume"))
    }

    pub(in crate::run) fn sync_rows(&self) -> Result<Lengths, String> {
        let recorder = self.recorder.borrow();
        let lengths = recorder.rows.as_ref().map_or(Ok(Lengths::default()), Rows::sync);
        lengths.map_err(|e| format!("run folder: the metrics cannot be written: {e}"))
    }

    /// How to go on, for the message after an interruption.
    pub(in crate::run) fn way_on(&self) -> Option<String> {
        let recorder = self.recorder.borrow();
        let folder = self.folder.existing().filter(|_| recorder.on)?;
        let from = match recorder.writing.last() {
            Some(path) => format!("last checkpoint: {}", path.display()),
            None => "no checkpoint yet".into(),
        };
        let from = match self.state.borrow().outside.as_ref().filter(|_| self.state.borrow().in_epoch) {
            Some(why) => format!("{from} (not inside the epoch, since {why})"),
            None => from,
        };
        Some(format!("{from}; go on with: {}", commands::goes_on(&recorder.record, &folder)))
    }

    /// The script has ended with an error or was interrupted: what was said about it, and its first line.
    pub fn failed_with(&self, said: &str, error: Option<String>) {
        self.keep_output(said);
        self.recorder.borrow_mut().record.error = error;
    }

    /// The script has ended.
    pub fn finish(&self, status: Status) -> Result<(), String> {
        let Some(folder) = self.folder.existing().filter(|_| self.is_recorded()) else { return Ok(()) };
        if self.recorder.borrow().rows.is_none() {
            return Ok(());
        }
        self.overhead.time(|| self.write_sources(&folder))?;
        {
            let mut recorder = self.recorder.borrow_mut();
            recorder.record.status = status;
            recorder.record.seconds = recorder.seconds();
            recorder.began = None;
        }
        self.write_record()
    }
}

impl Run {
    /// The script has ended and everything is written: let `draw` make of the folder what a person looks at.
    pub fn illustrate(&self, draw: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
        let Some(folder) = self.folder.existing().filter(|_| self.is_recorded()) else { return Ok(()) };
        if self.recorder.borrow().rows.is_none() {
            return Ok(());
        }
        let began = Instant::now();
        let drawn = self.overhead.time(|| draw(&folder));
        self.recorder.borrow_mut().record.seconds += began.elapsed().as_secs_f64();
        drawn.and(self.write_record())
    }
}
