//! How a run goes on: checkpoints between two batches, and a second run of the script that takes them up
//!
//! The script is run again from its top, with the same seed, so it makes the same networks, optimisers and stores in the
//! same order. Loops that were over are skipped, with the state that they ended in; the loop that was under way goes on at
//! its epoch, and the epoch's pass over the training images at its batch. What lies between loops is done again.

use crate::run::recorder::best::BestFiles;
use super::checkpoint::{self, Checkpoint, Piece};
use crate::run::training::metrics::Metrics;
use crate::run::front::{Run, State as Live, position, read_back};
use super::state::{Position, State};
use crate::compute::interrupt;
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Who knows the script's objects.
pub trait Holder {
    /// How many networks, optimisers and stores the script has made.
    fn made(&self) -> u64;
    /// Generators and counters.
    fn counters(&self) -> Value;
    fn set_counters(&self, counters: &Value) -> Result<(), String>;
    /// What there is of the first `made` objects, and their tensors; the stores of vectors only if asked for.
    fn pieces(&self, made: u64, vectors: bool) -> Result<(Value, Vec<Piece>), String>;
    fn restore(&self, objects: &Value, tensors: &SafeTensors) -> Result<(), String>;
}

/// The writing side.
#[derive(Debug, Default)]
pub struct Writing {
    /// A checkpoint was asked for, and is written when the script is between two batches or epochs.
    due: bool,
    number: u64,
    /// The last good ones, the latest last.
    good: Vec<PathBuf>,
    finished: Option<Instant>,
    took: Duration,
}

/// What a resumed run goes on with.
#[derive(Debug)]
pub struct Resume {
    from: Checkpoint,
    /// Batches of the epoch that are still to be skipped.
    skip: Option<usize>,
}

impl Resume {
    pub fn new(from: Checkpoint) -> Self {
        Self { from, skip: None }
    }

    pub fn state(&self) -> &State {
        &self.from.state
    }
}

/// The latest checkpoint in `folder` that is whole, with its number; `damaged` hears of those that are not.
pub fn latest(folder: &Path, damaged: &dyn Fn(&str)) -> Option<(u64, PathBuf, Checkpoint)> {
    checkpoint::numbered(folder).into_iter().find_map(|(number, path)| match Checkpoint::open(&path) {
        Ok(found) => Some((number, path, found)),
        Err(why) => {
            damaged(&format!("the checkpoint {} cannot be used: {why}; the one before is taken", path.display()));
            None
        }
    })
}

impl Live {
    /// How many objects there were at the beginning of the epoch.
    fn made_at_epoch(&self) -> u64 {
        self.at_epoch["objects"].as_u64().unwrap_or(0)
    }
}

impl Writing {
    /// Numbers go on after `number`, and `path` is the last good one.
    pub fn after(number: u64, path: Option<PathBuf>) -> Self {
        Self { number, good: path.into_iter().collect(), ..Self::default() }
    }

    /// When the last one was finished, in this sitting.
    pub fn since(&self) -> Option<Instant> {
        self.finished
    }

    /// The last good checkpoint.
    pub fn last(&self) -> Option<&PathBuf> {
        self.good.last()
    }
}

impl Run {
    pub fn set_holder(&self, holder: std::rc::Weak<dyn Holder>) {
        *self.holder.borrow_mut() = Some(holder);
    }

    fn holder(&self) -> Option<std::rc::Rc<dyn Holder>> {
        self.holder.borrow().as_ref().and_then(std::rc::Weak::upgrade)
    }

    pub(in crate::run) fn counters(&self) -> Value {
        self.holder().map_or(Value::Null, |holder| holder.counters())
    }

    /// The script asks for a checkpoint. It is written between two batches, or when the epoch is over.
    pub fn checkpoint(&self) -> Result<(), String> {
        if !self.state.borrow().in_epoch {
            return Err("run.checkpoint: no loop over run.epochs(...) is under way; call it inside one".into());
        }
        self.recorder.borrow_mut().writing.due = true;
        Ok(())
    }

    /// A loop begins: which epoch comes first.
    pub(in crate::run) fn begin_recorded(&self, epochs: usize, label: &str) -> Result<usize, String> {
        let Some(holder) = self.holder() else { return Ok(0) };
        if !self.is_recorded() {
            return Ok(0);
        }
        self.prepare()?;
        let index = self.state.borrow().index - 1;
        self.state.borrow_mut().made = holder.made();
        let Some(mut resume) = self.recorder.borrow_mut().resume.take() else { return Ok(0) };
        let target = resume.state().position.clone();
        if index < target.index {
            let early = resume.state().left_early.contains(&index);
            self.skip_loop(&*holder, index, epochs, label, early)?;
            self.state.borrow_mut().skipped = true;
            self.recorder.borrow_mut().resume = Some(resume);
            return Ok(epochs);
        }
        check_loop(&target, epochs, label)?;
        self.restore(&*holder, &resume.from, target.batch > 0)?;
        self.prepare()?;
        if target.ended {
            self.state.borrow_mut().skipped = true;
            return Ok(epochs);
        }
        if target.batch > 0 {
            resume.skip = Some(target.batch);
            self.recorder.borrow_mut().resume = Some(resume);
        }
        Ok(target.epoch)
    }

    /// A loop that an earlier sitting has finished: everything as it was at its end.
    fn skip_loop(
        &self,
        holder: &dyn Holder,
        index: usize,
        epochs: usize,
        label: &str,
        early: bool,
    ) -> Result<(), String> {
        let folder = self.checkpoints()?;
        let path = checkpoint::end_of_loop(&folder, index).ok_or_else(|| {
            format!("resume: the end of loop {} is missing in {}; begin the run anew", index + 1, folder.display())
        })?;
        let end = Checkpoint::open(&path)
            .map_err(|why| format!("resume: {} cannot be used: {why}; begin the run anew", path.display()))?;
        check_loop(&end.state.position, epochs, label)?;
        if early {
            self.note(&format!(
                "note: loop {} was left by `break`; what the script does between it and the next loop may come out \
                 differently, what follows does not",
                index + 1
            ));
        }
        self.restore(holder, &end, false)
    }

    /// Objects and generators as they were: at the beginning of the epoch, if the run goes on `inside` it.
    fn restore(&self, holder: &dyn Holder, from: &Checkpoint, inside: bool) -> Result<(), String> {
        let State { step, objects, at_epoch, now, last, kept, results, left_early, best, .. } = &from.state;
        let files = BestFiles::read(best, &from.tensors()?)?;
        holder.restore(objects, &from.tensors()?).map_err(|why| format!("resume: {why}"))?;
        holder.set_counters(if inside { at_epoch } else { now }).map_err(|why| format!("resume: {why}"))?;
        let mut state = self.state.borrow_mut();
        (state.step, state.last, state.left_early) = (*step, last.clone(), left_early.clone());
        let mut recorder = self.recorder.borrow_mut();
        (recorder.kept, recorder.record.results) = (kept.clone(), results.clone());
        recorder.record.best = best.clone();
        recorder.best.files = files;
        Ok(())
    }

    /// Does it matter what the script uses now? Between the beginning of an epoch and its pass over the training images
    /// it does: a run that goes on inside the epoch does this part again, with the networks of a later time.
    pub fn is_watched(&self) -> bool {
        let state = self.state.borrow();
        state.in_epoch && !state.claimed && state.outside.is_none() && self.is_recorded()
    }

    /// The script has used what changes while it trains, before the epoch's pass.
    pub fn used_before_pass(&self, what: &str) {
        self.state.borrow_mut().outside = Some(format!("{what} is used in it before the first batch"));
    }

    /// A pass over the training images begins: is it the epoch's pass, at whose batches the run can be interrupted, and how
    /// many of its batches are done already?
    pub fn claim_pass(&self) -> Result<Option<usize>, String> {
        if !self.is_recorded() || !self.state.borrow().in_epoch || self.state.borrow().claimed {
            return Ok(None);
        }
        let Some(holder) = self.holder() else { return Ok(None) };
        if holder.made() != self.state.borrow().made_at_epoch() {
            self.used_before_pass("a network, optimiser or store made for the epoch");
        }
        self.state.borrow_mut().claimed = true;
        let resume = self.recorder.borrow_mut().resume.take_if(|r| r.skip.is_some());
        match (self.state.borrow().outside.as_ref(), &resume) {
            (Some(why), Some(_)) => {
                return Err(format!("resume: the checkpoint lies inside an epoch that cannot be cut in two: {why}"));
            }
            (Some(_), None) => return Ok(None),
            (None, None) => return Ok(Some(0)),
            (None, Some(_)) => {}
        }
        let Some(resume) = resume else { return Ok(Some(0)) };
        let State { now, epoch, window, window_batches, step, .. } = resume.state();
        holder.set_counters(now).map_err(|why| format!("resume: {why}"))?;
        // What was logged before the pass is among what the checkpoint has gathered.
        let mut state = self.state.borrow_mut();
        state.metrics = Metrics::restored([epoch.clone(), window.clone()]);
        (state.window, state.step) = (*window_batches, *step);
        Ok(Some(resume.skip.unwrap_or(0)))
    }

    /// The script is between two batches of the epoch's pass; `done` are over, and another one follows or not. An interruption
    /// that has waited for this is heard now: `true`.
    pub fn between_batches(&self, done: usize, more: bool) -> Result<bool, String> {
        self.window_is_full(done)?;
        interrupt::hold(more);
        let stop = interrupt::asked();
        let timed = self.recorder.borrow().is_time_for_checkpoint();
        if stop || done > 0 && (timed || self.recorder.borrow().writing.due) {
            self.checkpoint_when(stop || timed, |state| Position { batch: done, ..position(state) })?;
        }
        if stop {
            interrupt::hold(false);
        }
        Ok(stop)
    }

    /// Nobody takes batches of the epoch's pass any more.
    pub fn leave_pass(&self) {
        interrupt::hold(false);
    }

    pub(in crate::run) fn checkpoint_if_due(&self, at: impl FnOnce(&Live) -> Position) -> Result<(), String> {
        if self.recorder.borrow().writing.due { self.checkpoint_when(false, at) } else { Ok(()) }
    }

    /// Write a checkpoint, unless the last one was too short a time ago for what they cost.
    pub(in crate::run) fn checkpoint_when(&self, surely: bool, at: impl FnOnce(&Live) -> Position) -> Result<(), String> {
        if !self.is_recorded() {
            return Ok(());
        }
        {
            let mut recorder = self.recorder.borrow_mut();
            recorder.writing.due = false;
            let pause = recorder.writing.took.div_f64(recorder.options.share.clamp(1e-6, 1.0));
            let early = recorder.writing.finished.is_some_and(|t| t.elapsed() < pause);
            if early && !surely && recorder.options.share < 1.0 {
                return Ok(());
            }
        }
        let position = at(&self.state.borrow());
        let number = self.recorder.borrow().writing.number + 1;
        let began = Instant::now();
        let path = self.overhead.time(|| self.write_state(&format!("{number:06}"), position, true))?;
        let mut recorder = self.recorder.borrow_mut();
        let writing = &mut recorder.writing;
        (writing.number, writing.took, writing.finished) = (number, began.elapsed(), Some(Instant::now()));
        writing.good.push(path);
        // The last one and the one before.
        let keep = writing.good.split_off(writing.good.len().saturating_sub(2));
        writing.good = keep;
        let keep = writing.good.clone();
        drop(recorder);
        for (_, path) in checkpoint::numbered(&self.checkpoints()?).into_iter().filter(|(_, p)| !keep.contains(p)) {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    fn write_state(&self, stem: &str, position: Position, vectors: bool) -> Result<PathBuf, String> {
        let holder = self.holder().ok_or("checkpoint: there is no session")?;
        let folder = self.checkpoints()?;
        read_back(&mut self.state.borrow_mut())?;
        let vectors = vectors && self.recorder.borrow().options.vectors;
        let (objects, mut pieces) = holder.pieces(self.state.borrow().made, vectors)?;
        let lengths = self.sync_rows()?;
        let live = self.state.borrow();
        let recorder = self.recorder.borrow();
        pieces.extend(recorder.best.pieces());
        let [epoch, window] = live.metrics.saved();
        // Before the first batch, the whole epoch is done again.
        let anew = live.in_epoch && position.batch == 0;
        let state = State {
            format: super::state::FORMAT,
            position,
            step: if anew { live.step_at_epoch } else { live.step },
            seconds: recorder.seconds(),
            recording: self.recording_seconds(&recorder),
            device: recorder.record.device.clone(),
            threads: recorder.record.threads,
            vectors,
            objects,
            at_epoch: live.at_epoch.clone(),
            now: if anew { live.at_epoch.clone() } else { holder.counters() },
            epoch,
            window,
            window_batches: live.window,
            last: live.last.clone(),
            lengths,
            kept: recorder.kept.clone(),
            results: recorder.record.results.clone(),
            best: recorder.record.best.clone(),
            left_early: live.left_early.clone(),
        };
        checkpoint::write(&folder, stem, &state, &pieces).map_err(|e| {
            let last = recorder
                .writing
                .last()
                .map_or("there is none before it".into(), |p| format!("the last good one is {}", p.display()));
            format!("checkpoint: {}: {e}; {last}. Make room, then go on with --resume", folder.display())
        })
    }

    /// A loop is over: what the script does next can be reached without it.
    pub(in crate::run) fn end_recorded(&self) -> Result<(), String> {
        let (in_loop, index) = (self.state.borrow().in_loop, self.state.borrow().index);
        // A loop that was skipped has its checkpoint already.
        if !in_loop || !self.is_recorded() || self.state.borrow().skipped {
            return Ok(());
        }
        let ended = |state: &Live| Position { ended: true, epoch: state.epochs, ..position(state) };
        let at = ended(&self.state.borrow());
        let stem = checkpoint::end_stem(index - 1);
        let path = self.overhead.time(|| self.write_state(&stem, at, false))?;
        checkpoint::keep_only(&path, &stem);
        self.checkpoint_when(true, ended)
    }

    /// The loop under way, if there is one, was left by `break` or with the script: its last epoch is over.
    pub fn leave_loop(&self) -> Result<(), String> {
        self.close_epoch(false)?;
        if self.state.borrow().in_loop {
            let index = self.state.borrow().index - 1;
            self.state.borrow_mut().left_early.push(index);
            self.judge_training();
            self.end_recorded()?;
            self.state.borrow_mut().in_loop = false;
        }
        Ok(())
    }

    /// What was to be resumed and never came up.
    pub fn never_reached(&self) -> Option<String> {
        let recorder = self.recorder.borrow();
        let resume = recorder.resume.as_ref()?;
        Some(format!(
            "resume: the script ended before it came to {}; is it the script of this run?",
            resume.state().position.describe()
        ))
    }
}

fn check_loop(expected: &Position, epochs: usize, label: &str) -> Result<(), String> {
    if expected.label == label && expected.epochs == epochs {
        return Ok(());
    }
    let name = |label: &str, epochs| format!("run.epochs({epochs}, \"{label}\")");
    Err(format!(
        "resume: loop {} of the run was {}, the script now says {}; resume with the script and settings of the run",
        expected.index + 1,
        name(&expected.label, expected.epochs),
        name(label, epochs)
    ))
}
