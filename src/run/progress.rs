//! Progress of a run: a live line on a terminal, one plain line per epoch anywhere else.
//!
//! The loop itself is the script's: `for epoch in run.epochs(n)` and `for batch in data.train.batches(m)` tell the run
//! where it is, `run.log` what to show.

use super::folder::RunFolder;
use super::format::duration;
use super::metrics::{Metrics, Value};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often values are read back from the device and shown.
const INTERVAL: Duration = Duration::from_millis(500);

/// The run that a script sees as `run`.
#[derive(Debug)]
pub struct Run {
    pub folder: RunFolder,
    state: RefCell<State>,
    bar: ProgressBar,
}

#[derive(Debug, Default)]
struct State {
    label: String,
    epoch: usize,
    epochs: usize,
    started: Option<Instant>,
    epoch_started: Option<Instant>,
    in_epoch: bool,
    batch: usize,
    batches: usize,
    metrics: Metrics,
    last: Vec<(String, f64)>,
    shown: Option<Instant>,
    saved: Option<PathBuf>,
}

impl Run {
    pub fn new(folder: RunFolder) -> Self {
        let live = std::io::stderr().is_terminal();
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        Self { folder, state: RefCell::default(), bar }
    }

    /// Print a line of the script's output to stdout, above the live line. A closed pipe ends the process quietly.
    pub fn print(&self, text: &str) {
        self.bar.suspend(|| {
            let mut out = std::io::stdout().lock();
            let written = writeln!(out, "{text}").and_then(|()| out.flush());
            if written.is_err_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
                std::process::exit(0);
            }
        });
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

    /// A loop over `epochs` epochs begins; `label` names it where a script has several.
    pub fn begin(&self, epochs: usize, label: &str) -> Result<(), String> {
        // A loop that was left by `break` ends here.
        self.finish_epoch()?;
        *self.state.borrow_mut() =
            State { label: label.into(), epochs, started: Some(Instant::now()), ..State::default() };
        Ok(())
    }

    /// Epoch number `epoch`, counted from 0, begins; the one before is finished and shown.
    pub fn begin_epoch(&self, epoch: usize) -> Result<(), String> {
        self.finish_epoch()?;
        let mut state = self.state.borrow_mut();
        (state.epoch, state.in_epoch, state.batch, state.batches) = (epoch, true, 0, 0);
        state.epoch_started = Some(Instant::now());
        state.metrics = Metrics::default();
        Ok(())
    }

    /// The loop is over.
    pub fn end(&self) -> Result<(), String> {
        self.finish_epoch()?;
        self.bar.finish_and_clear();
        Ok(())
    }

    /// Batch `number` of `count` begins, inside an epoch or not.
    pub fn begin_batch(&self, number: usize, count: usize) {
        let mut state = self.state.borrow_mut();
        (state.batch, state.batches) = (number + 1, count);
        let due = state.shown.is_none_or(|t| t.elapsed() >= INTERVAL);
        if due {
            state.shown = Some(Instant::now());
            self.draw(&state);
        }
    }

    /// Log values of the current batch. A loss that is not finite is an error as soon as it is read back.
    pub fn log(&self, values: Vec<(String, Value)>) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        let batch = state.batch;
        if let Some((name, Value::Number(x))) =
            values.iter().find(|(_, v)| matches!(v, Value::Number(x) if !x.is_finite()))
        {
            return Err(not_finite(&state, batch, name, *x));
        }
        state.metrics.log(batch, values).map_err(|e| crate::compute::error::message(&e))?;
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

    /// Remember where weights were saved last, for the message after an interruption.
    pub fn saved(&self, path: PathBuf) {
        self.state.borrow_mut().saved = Some(path);
    }

    /// Where the run stood, for the message after an interruption.
    pub fn interrupted_note(&self) -> Option<String> {
        let state = self.state.borrow();
        let mut note = state.in_epoch.then(|| place(&state, state.batch))?;
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

    fn finish_epoch(&self) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        if !state.in_epoch {
            return Ok(());
        }
        state.in_epoch = false;
        read_back(&mut state)?;
        state.last = state.metrics.values();
        let took = state.epoch_started.map_or(Duration::ZERO, |t| t.elapsed());
        let mut line = format!("{}  {}  {}", head(&state), state.metrics.line(), duration(took));
        if let Some(left) = time_left(&state, state.epoch + 1, 0.0) {
            line += &format!("  left {}", duration(left));
        }
        drop(state);
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

fn read_back(state: &mut State) -> Result<(), String> {
    match state.metrics.read_back() {
        Err(e) => Err(crate::compute::error::message(&e)),
        Ok(None) => Ok(()),
        Ok(Some((batch, name, x))) => Err(not_finite(state, batch, &name, x)),
    }
}

fn not_finite(state: &State, batch: usize, name: &str, x: f64) -> String {
    format!(
        "run.log: `{name}` is {x} at {}; training has diverged. Lower the learning rate, lengthen the ramp of epsilon, or \
         clip the gradients: adam(model, #{{ clip_norm: 1.0 }})",
        place(state, batch)
    )
}

fn place(state: &State, batch: usize) -> String {
    format!("{}, batch {batch} of {}", head(state).replace("  ", " "), state.batches)
}

/// `robust epoch  3/20`.
fn head(state: &State) -> String {
    let width = state.epochs.to_string().len();
    let label = if state.label.is_empty() { String::new() } else { format!("{} ", state.label) };
    format!("{label}epoch {:>width$}/{}", state.epoch + 1, state.epochs)
}

/// From the pace so far: `done` whole epochs and `share` of the next.
fn time_left(state: &State, done: usize, share: f64) -> Option<Duration> {
    let done = done as f64 + share;
    let left = state.epochs as f64 - done;
    let started = state.started.filter(|_| done > 0.0 && left > 0.0)?;
    Some(started.elapsed().mul_f64(left / done))
}
