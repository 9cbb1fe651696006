//! A run as its script drives it: loops over epochs, batches, logged values; a live line on a terminal, one plain line per
//! epoch anywhere else.
//!
//! The loop itself is the script's: `for epoch in run.epochs(n)` and `for batch in data.train.batches(m)` tell the run
//! where it is, `run.log` what to show. What is written down is in `recording`, how a run goes on later in `resuming`.

use crate::run::training::place::{head, not_finite, place, time_left};
use crate::run::recorder::folder::RunFolder;
use crate::run::numbers::format::duration;
use crate::run::training::verdict::Epoch;
use crate::run::training::metrics::{Metrics, Value};
use crate::run::recorder::overhead::Overhead;
use crate::run::recorder::writer::Recorder;
use crate::run::resume::stage::Holder;
use crate::run::resume::state::Position;
use crate::compute::{interrupt, output};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Weak;
use std::time::{Duration, Instant};

/// How often values are read back from the device and shown.
const INTERVAL: Duration = Duration::from_millis(500);

/// The run that a script sees as `run`.
pub struct Run {
    pub folder: RunFolder,
    pub(in crate::run) state: RefCell<State>,
    pub(in crate::run) recorder: RefCell<Recorder>,
    pub(in crate::run) holder: RefCell<Option<Weak<dyn Holder>>>,
    pub(in crate::run) bar: ProgressBar,
    pub(in crate::run) overhead: Overhead,
    /// A loop over epochs was left before its end, and nothing has happened since.
    left: Cell<bool>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("folder", &self.folder).field("state", &self.state).finish_non_exhaustive()
    }
}

/// The loop under way.
#[derive(Debug, Default)]
pub(in crate::run) struct State {
    pub label: String,
    pub epoch: usize,
    pub epochs: usize,
    started: Option<Instant>,
    /// Epochs of this loop that an earlier sitting has done.
    begun_at: usize,
    epoch_started: Option<Instant>,
    pub in_loop: bool,
    pub in_epoch: bool,
    pub batch: usize,
    pub batches: usize,
    pub metrics: Metrics,
    pub last: Vec<(String, f64)>,
    shown: Option<Instant>,
    pub saved: Option<PathBuf>,
    /// The loop's number in the script, the objects that were there before it, the batches trained on so far.
    pub index: usize,
    pub made: u64,
    pub step: u64,
    /// Generators and counters at the beginning of the epoch, and the batches trained on before it.
    pub at_epoch: serde_json::Value,
    pub step_at_epoch: u64,
    /// Why the run cannot go on inside this epoch, if it cannot.
    pub outside: Option<String>,
    /// The epoch's pass over the training images has begun.
    pub claimed: bool,
    /// An earlier sitting has finished the loop.
    pub skipped: bool,
    /// Batches since the last window of the record, and whether the batch at hand was logged.
    pub window: usize,
    pub logged: bool,
    pub left_early: Vec<usize>,
    /// What the epochs of this loop came to, and the classes of the data.
    pub(in crate::run) learned: Vec<Epoch>,
    pub(in crate::run) classes: Option<usize>,
}

impl Run {
    pub fn new(folder: RunFolder) -> Self {
        let live = std::io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let (state, recorder, holder) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { folder, state, recorder, holder, bar, overhead: Overhead::default(), left: Cell::default() }
    }

    /// Print a line of the script's output to stdout, above the live line. When its reader has gone the run is asked to stop.
    pub fn print(&self, text: &str) {
        self.keep_output(text);
        self.bar.suspend(|| output::line(text));
        // That nobody reads it can wait for the next place where the run can go on later.
        let in_epoch = self.state.try_borrow().is_ok_and(|state| state.in_epoch);
        if output::closed() && in_epoch && self.is_recorded() {
            interrupt::hold(true);
        }
    }

    /// Show `text` as the live line on a terminal, until something else is shown; nothing anywhere else.
    pub fn status(&self, text: &str) {
        if self.bar.is_hidden() {
            return;
        }
        if self.bar.is_finished() {
            self.bar.reset();
        }
        let style = ProgressStyle::with_template("{wide_msg}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_message(text.to_string());
        self.bar.tick();
    }

    /// A line to whoever runs the script, on stderr.
    pub fn note(&self, text: &str) {
        self.keep_output(text);
        self.bar.suspend(|| output::note(text));
    }

    /// A loop over `epochs` epochs begins; `label` names it where a script has several. Returns the first epoch to be done:
    /// not 0 where a run goes on, `epochs` where the loop was over.
    pub fn begin(&self, epochs: usize, label: &str) -> Result<usize, String> {
        self.leave_loop()?;
        let mut state = self.state.borrow_mut();
        let (index, step, left_early) = (state.index, state.step, std::mem::take(&mut state.left_early));
        let (saved, classes) = (state.saved.take(), state.classes);
        *state = State {
            label: label.into(),
            epochs,
            started: Some(Instant::now()),
            in_loop: true,
            index: index + 1,
            step,
            left_early,
            saved,
            classes,
            ..State::default()
        };
        drop(state);
        let first = self.begin_recorded(epochs, label)?;
        self.state.borrow_mut().begun_at = first;
        Ok(first)
    }

    /// The loop's number in the script, from 1.
    pub fn loop_number(&self) -> usize {
        self.state.borrow().index
    }

    /// Loop `number` was left before its end: by `break`, or by an error. If the script goes on, its last epoch is over.
    pub fn left(&self, number: usize) {
        let here = self.state.try_borrow().is_ok_and(|state| state.in_loop && state.index == number);
        self.left.set(self.left.get() || here);
    }

    /// Called before every operation of the script.
    pub fn close_what_was_left(&self) -> Result<(), String> {
        if self.left.replace(false) { self.leave_loop() } else { Ok(()) }
    }

    /// The script has failed: nothing goes on after the loop that was left.
    pub fn give_up(&self) {
        self.left.set(false);
    }

    /// Somebody has asked to stop between two epochs: the one before is finished, and the run can go on from there.
    pub fn stop_before_epoch(&self, epoch: usize) -> Result<(), String> {
        if !self.state.borrow().in_epoch {
            return Ok(());
        }
        self.finish_epoch()?;
        self.checkpoint_when(true, |state| Position { epoch, ..position(state) })
    }

    /// Epoch number `epoch`, counted from 0, begins; the one before is finished and shown.
    pub fn begin_epoch(&self, epoch: usize) -> Result<(), String> {
        self.finish_epoch()?;
        // The epoch's line may have found that nobody reads it.
        let at = |state: &State| Position { epoch, ..position(state) };
        if interrupt::asked() {
            self.checkpoint_when(true, at)?
        } else {
            self.checkpoint_if_due(at)?
        }
        let at_epoch = self.counters();
        let outside = self.recorder.borrow().carried.clone();
        let mut state = self.state.borrow_mut();
        (state.step_at_epoch, state.outside) = (state.step, outside);
        (state.epoch, state.in_epoch, state.batch, state.batches) = (epoch, true, 0, 0);
        (state.claimed, state.logged) = (false, false);
        state.epoch_started = Some(Instant::now());
        (state.metrics, state.window, state.at_epoch) = (Metrics::default(), 0, at_epoch);
        Ok(())
    }

    /// The loop is over.
    pub fn end(&self) -> Result<(), String> {
        self.finish_epoch()?;
        self.judge_training();
        self.end_recorded()?;
        self.state.borrow_mut().in_loop = false;
        self.bar.finish_and_clear();
        Ok(())
    }

    /// Batch `number` of `count` begins, inside an epoch or not.
    pub fn begin_batch(&self, number: usize, count: usize) {
        let mut state = self.state.borrow_mut();
        (state.batch, state.batches, state.logged) = (number + 1, count, false);
        let due = state.shown.is_none_or(|t| t.elapsed() >= INTERVAL);
        if due {
            state.shown = Some(Instant::now());
            self.draw(&state);
        }
    }

    /// Log values of the current batch. A loss that is not finite is an error as soon as it is read back.
    pub fn log(&self, values: Vec<(String, Value)>) -> Result<(), String> {
        if let Some((name, _)) = values.iter().find(|(name, _)| crate::run::recorder::rows::RESERVED.contains(&name.as_str())) {
            return Err(format!(
                "run.log: `{name}` is what every row of the record says by itself; choose another name"
            ));
        }
        let mut state = self.state.borrow_mut();
        let batch = state.batch;
        if let Some((name, Value::Number(x))) =
            values.iter().find(|(_, v)| matches!(v, Value::Number(x) if !x.is_finite()))
        {
            return Err(not_finite(&state, batch, name, *x));
        }
        state.metrics.log(batch, values).map_err(|e| crate::compute::error::message(&e))?;
        if !state.logged && state.in_epoch {
            (state.logged, state.step, state.window) = (true, state.step + 1, state.window + 1);
        }
        let due = state.shown.is_none_or(|t| t.elapsed() >= INTERVAL);
        if due {
            state.shown = Some(Instant::now());
            read_back(&mut state)?;
            self.draw(&state);
        }
        Ok(())
    }

    /// The values of the last finished epoch, or of the one under way.
    pub fn metrics(&self) -> Result<Vec<(String, f64)>, String> {
        let mut state = self.state.borrow_mut();
        if state.in_epoch {
            read_back(&mut state)?;
            return Ok(state.metrics.values());
        }
        Ok(state.last.clone())
    }

    /// Remember where weights were saved last, for the message after an interruption and for what is made of the run.
    pub fn saved(&self, path: PathBuf) {
        self.keep_weights(&path);
        self.state.borrow_mut().saved = Some(path);
    }

    /// Where the run stood, for the message after an interruption.
    pub fn interrupted_note(&self) -> Option<String> {
        let state = self.state.borrow();
        let where_it_stood = (state.in_epoch || state.in_loop).then(|| place(&state, state.batch));
        if let Some(way_on) = self.way_on() {
            return Some(where_it_stood.into_iter().chain([way_on]).collect::<Vec<_>>().join("; "));
        }
        let mut note = where_it_stood?;
        match &state.saved {
            Some(path) => note += &format!("; weights last saved in {}", path.display()),
            None => note += "; no weights were saved",
        }
        Some(note)
    }

    /// Take the live line away; called on every way out.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }

    pub(in crate::run) fn finish_epoch(&self) -> Result<(), String> {
        self.close_epoch(true)
    }

    /// The epoch is over; does the loop go on?
    pub(in crate::run) fn close_epoch(&self, goes_on: bool) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        if !state.in_epoch {
            return Ok(());
        }
        state.in_epoch = false;
        state.claimed = false;
        interrupt::hold(false);
        read_back(&mut state)?;
        state.last = state.metrics.values();
        state.remember_epoch();
        let took = state.epoch_started.map_or(Duration::ZERO, |t| t.elapsed());
        let mut line = format!("{}  {}  {}", head(&state), state.metrics.line(), duration(took));
        if let Some(left) = time_left(&state, state.epoch + 1, 0.0).filter(|_| goes_on) {
            line += &format!("  left {}", duration(left));
        }
        drop(state);
        self.record_epoch()?;
        self.print(&line);
        Ok(())
    }

    fn draw(&self, state: &State) {
        if self.bar.is_hidden() || state.batches == 0 {
            return;
        }
        let share = state.batch as f64 / state.batches as f64;
        let left = time_left(state, state.epoch, share).filter(|_| state.in_epoch);
        let left = left.map(|l| format!("  left {}", duration(l))).unwrap_or_default();
        let (prefix, message) = match state.in_epoch {
            true => (format!("{}  batch", head(state)), format!("{}{left}", state.metrics.line())),
            false => ("batch".into(), String::new()),
        };
        // Each setter may draw: the texts come first, so that no frame mixes an old one with new numbers.
        self.bar.set_prefix(prefix);
        self.bar.set_message(message);
        if self.bar.is_finished() {
            self.bar.reset();
        }
        let style = ProgressStyle::with_template("{prefix} {pos}/{len}  {wide_msg}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_length(state.batches as u64);
        self.bar.set_position(state.batch as u64);
        self.bar.tick();
    }
}

impl State {
    /// Time in this loop and the epochs done in it, in this sitting.
    pub fn pace(&self) -> Option<(Duration, usize)> {
        self.started.map(|started| (started.elapsed(), self.begun_at))
    }
}

/// The loop and the epoch at hand, at its beginning.
pub(in crate::run) fn position(state: &State) -> Position {
    Position {
        index: state.index - 1,
        label: state.label.clone(),
        epochs: state.epochs,
        epoch: state.epoch,
        batch: 0,
        ended: false,
    }
}

pub(in crate::run) fn read_back(state: &mut State) -> Result<(), String> {
    match state.metrics.read_back() {
        Err(e) => Err(crate::compute::error::message(&e)),
        Ok(None) => Ok(()),
        Ok(Some((batch, name, x))) => Err(not_finite(state, batch, &name, x)),
    }
}
