//! A run as its script and its host see it: what is printed, what they state, the folder, the end. A thin front: what is shown is
//! in `progress`, what is written down in `recorder`, where the loops stand in `training`, how a run goes on later in `resume`.
//! What drives the loops is in `loops`.

use super::archive::commands;
use super::progress::Progress;
use super::recorder::{
    BEST_FILE, Best, Data, Drawn, Options, Record, Recorder, RunFolder, Setting, Sources, Status, check_score,
};
use super::resume::{Checkpoints, Holder, Resume};
use super::training::Training;
use crate::base::output;
use crate::base::random::Key;
use crate::compute::collective::{Ranks, Slice, Told};
use crate::compute::precision::Precision;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Weak;
use std::time::Instant;

/// The run that a script sees as `run`.
pub struct Run {
    pub(super) progress: Progress,
    pub(super) training: RefCell<Training>,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) checkpoints: RefCell<Checkpoints>,
    pub(super) resume: RefCell<Resume>,
    pub(super) holder: RefCell<Option<Weak<dyn Holder>>>,
    pub(super) ranks: Ranks,
    /// The part of a batch at hand, and whether there has been one.
    pub(super) slice: Cell<Option<Slice>>,
    pub(super) has_shared: Cell<bool>,
    /// What the processes told each other at the last batch.
    pub(super) told: RefCell<Option<Told>>,
    /// Of several processes: the folder of process 0, and this one's own.
    pub(super) home: RefCell<Option<PathBuf>>,
    pub(super) aside: RefCell<Option<tempfile::TempDir>>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("training", &self.training).finish_non_exhaustive()
    }
}

/// The screen.
impl Run {
    /// Print a line of the script's output to stdout, above the live line. When its reader has gone the run is asked to stop.
    pub fn print(&self, text: &str) {
        self.keep_output(text);
        self.progress.print(text);
        // That nobody reads it can wait for the next place where the run can go on later.
        let in_epoch = self.training.try_borrow().is_ok_and(|training| training.is_in_epoch());
        if output::closed() && in_epoch && self.is_recorded() {
            self.hold(true);
        }
    }

    /// A line to whoever runs the script, on stderr.
    pub fn note(&self, text: &str) {
        self.keep_output(text);
        self.progress.note(text);
    }

    fn keep_output(&self, text: &str) {
        if let Ok(mut recorder) = self.recorder.try_borrow_mut() {
            recorder.keep_output(text);
        }
    }

    /// Show `text` as the live line on a terminal, until something else is shown; nothing anywhere else.
    pub fn status(&self, text: &str) {
        self.progress.status(text);
    }

    /// Take the live line away; called on every way out.
    pub fn close(&self) {
        self.progress.clear();
    }

    /// Where the run stood, for the message after an interruption, and how to go on.
    pub fn interrupted_note(&self) -> Option<String> {
        let (training, recorder) = (self.training.borrow(), self.recorder.borrow());
        let stood = training.is_in_epoch() || training.is_in_loop();
        let place = stood.then(|| training.place().at(training.place().batch));
        if let Some(folder) = recorder.folder().filter(|_| recorder.is_on()) {
            let last = self.checkpoints.borrow().last().map(|path| format!("last checkpoint: {}", path.display()));
            let from = last.unwrap_or("no checkpoint yet".into());
            let never = training.why_never().map(|why| format!(" (not inside the epoch, since {why})"));
            let way_on = commands::goes_on(recorder.record(), folder);
            let way_on = format!("{from}{}; go on with: {way_on}", never.unwrap_or_default());
            return Some(place.into_iter().chain([way_on]).collect::<Vec<_>>().join("; "));
        }
        let saved = recorder.saved().map(|path| format!("weights last saved in {}", path.display()));
        Some(format!("{}; {}", place?, saved.unwrap_or("no weights were saved".into())))
    }
}

/// The folder, from the beginning to the end.
impl Run {
    pub fn new(folder: RunFolder, ranks: Ranks) -> Self {
        Self {
            progress: if ranks.group.is_first() { Progress::new() } else { Progress::mute() },
            training: RefCell::default(),
            recorder: RefCell::new(Recorder::new(folder)),
            checkpoints: RefCell::default(),
            resume: RefCell::default(),
            holder: RefCell::default(),
            ranks,
            slice: Cell::default(),
            has_shared: Cell::default(),
            told: RefCell::default(),
            home: RefCell::default(),
            aside: RefCell::default(),
        }
    }

    /// Who knows the script's objects.
    pub fn set_holder(&self, holder: Weak<dyn Holder>) {
        self.holder.replace(Some(holder));
    }

    /// From now on the run is written down: a script is run, not an input at the prompt.
    pub fn start_recording(&self, record: Record, options: Options, sources: Box<dyn Fn() -> Sources>) {
        self.recorder.borrow_mut().begin(record, sources);
        self.checkpoints.replace(Checkpoints::begin(options));
    }

    /// Is the run written down? At the prompt it is not.
    pub fn is_recorded(&self) -> bool {
        self.recorder.borrow().is_on()
    }

    /// The folder, if something was written already.
    pub fn folder(&self) -> Option<PathBuf> {
        self.recorder.borrow().folder().map(Path::to_path_buf)
    }

    /// Write into this folder, which is there.
    pub fn set_folder(&self, folder: PathBuf) {
        self.recorder.borrow_mut().set_folder(folder);
    }

    /// The folder, made if need be, with what the run is, before the script writes anything.
    pub fn open_folder(&self) -> Result<PathBuf, String> {
        let recorder = &mut *self.recorder.borrow_mut();
        let folder = recorder.make_folder()?;
        if recorder.is_on() {
            let (resume, opened) = self.resume.take().open(recorder);
            self.resume.replace(resume);
            opened?;
        }
        Ok(folder)
    }

    /// The path of `file`, which the script names, in the folder.
    pub fn file(&self, file: &str) -> Result<PathBuf, String> {
        let path = self.recorder.borrow().path_inside(file)?;
        Ok(self.open_folder()?.join(path))
    }

    /// What is known about the run.
    pub fn record(&self) -> Record {
        self.recorder.borrow().record().clone()
    }

    /// The script has ended with an error or was interrupted: what was said about it, and its first line.
    pub fn failed_with(&self, said: &str, error: Option<String>) {
        self.keep_output(said);
        self.recorder.borrow_mut().state_later(|record| record.error = error);
    }

    /// The script has ended.
    pub fn finish(&self, status: Status) -> Result<(), String> {
        self.recorder.borrow_mut().finish(status)
    }

    /// The script has ended and everything is written: let `draw` make of the folder what a person looks at.
    pub fn illustrate(&self, draw: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
        if !self.group().is_first() {
            return Ok(());
        }
        let (written, overhead) = (self.recorder.borrow().written(), self.recorder.borrow().overhead());
        let Some(folder) = written else { return Ok(()) };
        let began = Instant::now();
        let drawn = overhead.time(|| draw(&folder));
        drawn.and(self.state(|record| record.seconds += began.elapsed().as_secs_f64()))
    }
}

/// What the script and its host state: settings, data sets, results, values to keep, weights.
impl Run {
    fn state(&self, change: impl FnOnce(&mut Record)) -> Result<(), String> {
        self.recorder.borrow_mut().state(change)
    }

    /// The settings in force are known.
    pub fn set_settings(&self, resolved: Vec<(String, String, bool)>) -> Result<(), String> {
        let settings = resolved.into_iter().map(|(key, value, given)| Setting { key, value, given }).collect();
        self.state(|record| record.settings = settings)
    }

    /// The script has chosen what to multiply in; `on_gpu` says whether the choice makes a difference where it runs.
    pub fn set_precision(&self, precision: Precision, on_gpu: bool) -> Result<(), String> {
        if precision != Precision::F32 && !on_gpu {
            self.note(&format!("precision {precision} holds on CUDA devices; here everything f32 is computed in f32"));
        }
        // What has been computed, not what was wished for.
        self.state(|record| record.precision = if on_gpu { precision } else { Precision::F32 })
    }

    /// What the script carries from batch to batch beside its objects: then the run cannot go on inside an epoch.
    pub fn set_carried(&self, carried: Option<String>) {
        self.training.borrow_mut().set_carried(carried);
    }

    /// The data set that was loaded last has so many classes.
    pub fn set_classes(&self, classes: usize) {
        self.training.borrow_mut().set_classes(classes);
    }

    /// The script will load these data sets, in this order: it is a run again that was already, by the script at this path.
    pub fn expect_data(&self, data: Vec<Data>, script: PathBuf) {
        self.recorder.borrow_mut().earlier.expect_data(data, script);
    }

    /// The script will draw these random bits: it is a run again that was already.
    pub fn expect_entropy(&self, drawn: Vec<String>) {
        self.recorder.borrow_mut().earlier.repeat_entropy(drawn);
    }

    /// The script is that of a run which had these data sets.
    pub fn know_data(&self, data: Vec<Data>, script: PathBuf) {
        self.recorder.borrow_mut().earlier.know_data(data, script);
    }

    /// Where the data set that the script calls `asked` was when the run began that this one repeats, goes on with or varies, best
    /// first; and whether it will be checked to hold what it held then.
    pub fn data_places(&self, asked: &str) -> (Vec<PathBuf>, bool) {
        self.recorder.borrow().earlier.places(asked)
    }

    /// A data set was loaded. A run that goes on, or is run again, has to have the same one.
    pub fn add_data(&self, data: impl FnOnce() -> Result<Data, String>) -> Result<(), String> {
        if !self.is_recorded() {
            return Ok(());
        }
        let overhead = self.recorder.borrow().overhead();
        let data = overhead.time(data)?;
        self.recorder.borrow_mut().earlier.check_data(&data)?;
        self.state(|record| record.data.push(data))
    }

    /// 256 random bits that nobody knew before, from the operating system; the same ones where the run goes on, and where it is
    /// repeated.
    pub fn entropy(&self) -> Result<(Key, Drawn), String> {
        let (own, drawn) = self.recorder.borrow_mut().earlier.entropy()?;
        let text = self.group().of_first(own.to_string())?;
        let key = Key::parse(&text).ok_or("process 0 has drawn no random bits")?;
        self.state(|record| record.entropy.push(key.to_string()))?;
        Ok((key, drawn))
    }

    /// The script states a result: that makes a run of it, with a folder, if there is none yet.
    pub fn result(&self, result: Value) -> Result<(), String> {
        self.recorder.borrow_mut().state_later(|record| record.results.push(result));
        if self.is_recorded() {
            self.open_folder()?;
        }
        self.state(|_| ())
    }

    /// The run keeps records of an evaluation in this folder.
    pub fn add_records(&self, folder: &Path) -> Result<(), String> {
        let inside = self.recorder.borrow().name_inside(folder);
        let name = inside.unwrap_or_else(|| folder.display().to_string());
        self.state(|record| add_once(&mut record.records, name))
    }

    /// A drawing was made in the run's folder, for the page about the run.
    pub fn add_drawing(&self, file: &str) -> Result<(), String> {
        self.state(|record| add_once(&mut record.drawings, file.into()))
    }

    /// Keep a value of the script's under a name, in every checkpoint from now on.
    pub fn keep(&self, name: &str, value: Value) {
        if self.is_watched() {
            self.used_before_pass("run.keep");
        }
        self.checkpoints.borrow_mut().keep(name, value);
    }

    /// What is kept under a name.
    pub fn kept(&self, name: &str) -> Option<Value> {
        self.checkpoints.borrow().kept().get(name).cloned()
    }

    /// Weights of a network, which is described, were saved: for the message after an interruption and for what is made of the run.
    pub fn saved_weights(&self, path: PathBuf, network: String) {
        self.recorder.borrow_mut().saved_weights(path, network);
    }

    /// Keep the weights that `save` writes if `score`, found on the images called `split`, is the highest so far. Was it?
    pub fn best(
        &self,
        split: &str,
        score: f64,
        file: Option<&str>,
        save: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<bool, String> {
        check_score(split, score)?;
        let score = self.group().of_first(score)?;
        let (index, label, epoch) =
            self.training.borrow().epoch_at_hand().ok_or_else(|| {
                String::from("run.best: no loop over run.epochs(...) is under way; call it inside one")
            })?;
        let path = match file {
            None => self.open_folder()?.join(BEST_FILE),
            Some(file) => self.file(file)?,
        };
        let best = Best { file: file.unwrap_or(BEST_FILE).into(), score, index, label, epoch };
        if !self.recorder.borrow().is_best(&best)? {
            return Ok(false);
        }
        save(&path)?;
        let bytes = std::fs::read(&path).map_err(|e| format!("run.best: {}: {e}", path.display()))?;
        self.recorder.borrow_mut().add_best(best, bytes)?;
        Ok(true)
    }
}

fn add_once(names: &mut Vec<String>, name: String) {
    if !names.contains(&name) {
        names.push(name);
    }
}
