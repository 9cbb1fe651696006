//! A run's loops: epochs, passes over the training images, batches. What is written between them is in [`super::checkpoints`].
//!
//! [`super::Epochs`] and [`super::Pass`] tell of them in their order. No part of a run knows another but by what is handed to it
//! here. A part is borrowed for one call of it, and for nothing that comes back to the run.

use super::front::Run;
use super::recorder::{Row, refuse_reserved};
use super::resume::{Position, end_stem, keep_only};
use super::training::Value;
use crate::base::interrupt;

/// The loops over epochs and their batches, as [`super::Epochs`] and [`super::Pass`] tell of them.
impl Run {
    /// A loop over `epochs` epochs begins; `label` names it where a script has several. Returns the first epoch to be done:
    /// not 0 where a run goes on, `epochs` where the loop was over.
    pub(super) fn begin_loop(&self, epochs: usize, label: &str) -> Result<usize, String> {
        self.leave_loop()?;
        self.training.borrow_mut().begin_loop(epochs, label);
        self.progress.begin_loop();
        // One process may have read its part of the data, or of a checkpoint, long before another.
        let first = self.group().patiently(|| {
            let first = self.enter_loop(epochs, label)?;
            if let Some(holder) = self.holder().filter(|_| !self.group().is_alone()) {
                holder.share(self.group())?;
            }
            Ok::<_, String>(first)
        })?;
        self.hold(false);
        self.progress.begun_at(first);
        Ok(first)
    }

    /// The loop's number in the script, from 1.
    pub(super) fn loop_number(&self) -> usize {
        self.training.borrow().number()
    }

    /// Loop `number` was left before its end: by `break`, or by an error. If the script goes on, its last epoch is over.
    pub(super) fn left_loop(&self, number: usize) {
        if let Ok(mut training) = self.training.try_borrow_mut() {
            training.leave_loop(number);
        }
    }

    /// Called before every operation of the script: what was left is over.
    pub fn close_left_loop(&self) -> Result<(), String> {
        let left = self.training.borrow_mut().take_left();
        if left { self.leave_loop() } else { Ok(()) }
    }

    /// The script has failed: nothing goes on after the loop that was left.
    pub fn keep_left_loop(&self) {
        self.training.borrow_mut().take_left();
    }

    /// The loop under way, if there is one, was left by `break` or with the script: its last epoch is over.
    pub fn leave_loop(&self) -> Result<(), String> {
        self.end_epoch(false)?;
        if self.training.borrow().is_in_loop() {
            self.training.borrow_mut().add_left_early();
            self.end_loop()?;
        }
        Ok(())
    }

    /// Somebody has asked to stop between two epochs: the one before is finished, and the run can go on from there.
    pub(super) fn stop_before_epoch(&self, epoch: usize) -> Result<(), String> {
        if !self.training.borrow().is_in_epoch() {
            return Ok(());
        }
        self.end_epoch(true)?;
        let at = Position::before_epoch(&self.training.borrow(), epoch);
        self.write_checkpoint(true, at)
    }

    /// Epoch number `epoch`, counted from 0, begins; the one before is finished and shown.
    pub(super) fn begin_epoch(&self, epoch: usize) -> Result<(), String> {
        self.end_epoch(true)?;
        // The epoch's line may have found that nobody reads it.
        let asked = self.group().is_alone() && interrupt::asked();
        if asked || self.checkpoints.borrow().is_due() {
            let at = Position::before_epoch(&self.training.borrow(), epoch);
            self.write_checkpoint(asked, at)?;
        }
        let counters = self.holder().map(|holder| holder.counters());
        self.training.borrow_mut().begin_epoch(epoch, counters.unwrap_or_default());
        self.progress.begin_epoch();
        Ok(())
    }

    /// The epoch at hand, if there is one, is over. Does the loop go on?
    fn end_epoch(&self, goes_on: bool) -> Result<(), String> {
        if !self.training.borrow().is_in_epoch() {
            return Ok(());
        }
        self.hold(false);
        self.set_slice(None);
        self.hear_the_last()?;
        let Some(values) = self.training.borrow_mut().end_epoch(&|saved| self.add_up(saved))? else { return Ok(()) };
        if let Some(holder) = self.holder().filter(|_| self.has_shared()) {
            self.compare(&*holder)?;
        }
        let line = self.progress.epoch_line(self.training.borrow().place(), &values, goes_on);
        self.add_row(None, values)?;
        self.print(&line);
        Ok(())
    }

    /// All epochs are done.
    pub(super) fn finish_loop(&self) -> Result<(), String> {
        self.end_epoch(true)?;
        self.end_loop()?;
        self.progress.clear();
        Ok(())
    }

    /// The loop is over: what is wrong with its training is said, and what the script does next can be reached without it.
    fn end_loop(&self) -> Result<(), String> {
        let fault = self.training.borrow_mut().judge();
        if let Some(warning) = fault {
            self.note(&format!("warning: {warning}"));
            self.recorder.borrow_mut().state_later(|record| record.warnings.push(warning));
        }
        let (in_loop, skipped) = (self.training.borrow().is_in_loop(), self.training.borrow().is_skipped());
        // A loop that was skipped has its checkpoint already.
        if in_loop && !skipped && self.writes_checkpoints() {
            let at = Position::at_end(&self.training.borrow());
            let stem = end_stem(at.index);
            let path = self.group().patiently(|| self.write_parts(&stem, at.clone(), false))?;
            keep_only(&path, &stem);
            self.write_checkpoint(true, at)?;
        }
        self.training.borrow_mut().end_loop();
        self.hold(false);
        Ok(())
    }

    /// Batch `number` of `count` begins, inside an epoch or not.
    pub fn begin_batch(&self, number: usize, count: usize) {
        self.training.borrow_mut().begin_batch(number, count);
        if self.progress.is_due() {
            self.draw();
        }
    }

    /// Log values of the current batch. A loss that is not finite is an error as soon as it is read back.
    pub fn log(&self, values: Vec<(String, Value)>) -> Result<(), String> {
        refuse_reserved(values.iter().map(|(name, _)| name.as_str()))?;
        self.training.borrow_mut().log(values, self.weight())?;
        if self.progress.is_due() {
            self.training.borrow_mut().read_back()?;
            self.draw();
        }
        Ok(())
    }

    /// The values of the last finished epoch, or of the one under way.
    pub fn metrics(&self) -> Result<Vec<(String, f64)>, String> {
        let mut training = self.training.borrow_mut();
        if training.is_in_epoch() {
            training.read_back()?;
            return training.all_values(&|saved| self.add_up(saved));
        }
        Ok(training.last().to_vec())
    }

    fn draw(&self) {
        let training = self.training.borrow();
        let strata = &self.ranks.strata;
        let share = strata.own.len() as f64 / strata.shards as f64;
        self.progress.draw(training.place(), training.values(share).as_deref());
    }

    pub(super) fn add_row(&self, batch: Option<usize>, values: Vec<(String, f64)>) -> Result<(), String> {
        let (training, mut recorder) = (self.training.borrow(), self.recorder.borrow_mut());
        let (place, step, seconds) = (training.place(), training.step(), recorder.seconds());
        recorder.add_row(&Row { label: &place.label, epoch: place.epoch + 1, batch, step, seconds, values })
    }
}
