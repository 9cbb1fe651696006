//! Where a script's training stands: its loops so far, the one under way, the epoch at hand.

use super::metrics::{AddUp, Metrics, Saved, Value as Logged};
use super::verdict::{Epoch, fault};
use crate::base::error::message;
use crate::run::progress::Place;
use crate::run::training::resumable::Cut;
use serde_json::Value;

/// All loops of a script.
#[derive(Debug, Default)]
pub struct Training {
    /// How many have begun, and those among them that were left by `break`, counted from 0.
    loops: usize,
    left_early: Vec<usize>,
    /// Batches trained on so far.
    step: u64,
    /// Of the data.
    classes: Option<usize>,
    /// What the script carries from batch to batch beside its objects: then no epoch can be cut in two.
    carried: Option<String>,
    current: Loop,
}

/// The loop under way, or the last one.
#[derive(Debug, Default)]
struct Loop {
    stage: Stage,
    place: Place,
    /// An earlier sitting has finished it.
    skipped: bool,
    /// The objects that were there before it.
    made: u64,
    began: AtEpoch,
    /// Of the epoch at hand; nothing between two epochs.
    cut: Option<Cut>,
    metrics: Metrics,
    /// Batches since the last window of the record, and whether the batch at hand was logged.
    window: usize,
    logged: bool,
    /// What the last epoch came to, and what every epoch did as far as a verdict asks.
    last: Vec<(String, f64)>,
    learned: Vec<Epoch>,
}

#[derive(Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Outside,
    UnderWay,
    /// By `break` or by an error, and nothing has happened since.
    Left,
}

/// What was when the last epoch began.
#[derive(Clone, Debug, Default)]
pub struct AtEpoch {
    /// Generators and counters.
    pub counters: Value,
    /// Batches trained on before it.
    pub step: u64,
}

impl Training {
    pub fn set_classes(&mut self, classes: usize) {
        self.classes = Some(classes);
    }

    pub fn set_carried(&mut self, what: Option<String>) {
        self.carried = what.map(|what| format!("{what} changes from batch to batch"));
    }

    /// A loop begins.
    pub fn begin_loop(&mut self, epochs: usize, label: &str) {
        self.loops += 1;
        let place = Place { label: label.into(), epochs, ..Place::default() };
        self.current = Loop { stage: Stage::UnderWay, place, ..Loop::default() };
    }

    /// There are `made` objects before the loop.
    pub fn set_made(&mut self, made: u64) {
        self.current.made = made;
    }

    /// The loop is over since an earlier sitting.
    pub fn skip_loop(&mut self) {
        self.current.skipped = true;
    }

    /// Loop `number`, from 1, was left before its end.
    pub fn leave_loop(&mut self, number: usize) {
        if self.is_in_loop() && self.loops == number {
            self.current.stage = Stage::Left;
        }
    }

    /// Was the loop left? It counts as under way again, until it is closed.
    pub fn take_left(&mut self) -> bool {
        let left = self.was_left();
        if left {
            self.current.stage = Stage::UnderWay;
        }
        left
    }

    /// The loop does not come to its end.
    pub fn add_left_early(&mut self) {
        self.left_early.push(self.index());
    }

    pub fn end_loop(&mut self) {
        self.current.stage = Stage::Outside;
    }

    /// What is wrong with the loop's training, if something is.
    pub fn judge(&mut self) -> Option<String> {
        let epochs = std::mem::take(&mut self.current.learned);
        let fault = fault(&epochs, self.classes)?;
        let label = &self.current.place.label;
        Some(if label.is_empty() { fault } else { format!("{label}: {fault}") })
    }

    /// An epoch begins.
    pub fn begin_epoch(&mut self, epoch: usize, counters: Value) {
        let current = &mut self.current;
        current.began = AtEpoch { counters, step: self.step };
        current.cut = Some(Cut::begin(self.carried.as_deref()));
        (current.place.epoch, current.place.batch, current.place.batches) = (epoch, 0, 0);
        (current.metrics, current.window, current.logged) = (Metrics::default(), 0, false);
    }

    /// The epoch at hand, if there is one, is over: what it came to, where `add_up` knows what others have logged.
    pub fn end_epoch(&mut self, add_up: &AddUp) -> Result<Option<Vec<(String, f64)>>, String> {
        if self.current.cut.take().is_none() {
            return Ok(None);
        }
        self.read_back()?;
        self.current.metrics.add_up_epoch(add_up)?;
        self.current.last = self.current.metrics.values(1.0);
        self.current.learned.extend(Epoch::of(&self.current.last));
        Ok(Some(self.current.last.clone()))
    }

    /// Batch `number` of `count` begins, inside an epoch or not.
    pub fn begin_batch(&mut self, number: usize, count: usize) {
        (self.current.place.batch, self.current.place.batches, self.current.logged) = (number + 1, count, false);
    }

    /// Log values of the batch at hand.
    pub fn log(&mut self, values: Vec<(String, Logged)>, weight: (f64, bool)) -> Result<(), String> {
        let place = &self.current.place;
        for (name, value) in &values {
            if let Logged::Number(x) = value
                && !x.is_finite()
            {
                return Err(place.not_finite(place.batch, name, *x));
            }
        }
        self.current.metrics.log(place.batch, values, weight).map_err(|e| message(&e))?;
        if !self.current.logged && self.is_in_epoch() {
            (self.current.logged, self.step) = (true, self.step + 1);
            self.current.window += 1;
        }
        Ok(())
    }

    /// Wait for what was logged. A value that is not finite is an error.
    pub fn read_back(&mut self) -> Result<(), String> {
        match self.current.metrics.read_back() {
            Err(e) => Err(message(&e)),
            Ok(None) => Ok(()),
            Ok(Some((batch, name, x))) => Err(self.current.place.not_finite(batch, &name, x)),
        }
    }

    /// What has been logged in the epoch at hand, by others too.
    pub fn all_values(&self, add_up: &AddUp) -> Result<Vec<(String, f64)>, String> {
        self.current.metrics.all_values(add_up)
    }

    /// What has been read back of the epoch at hand, of which `share` is logged here.
    pub fn values(&self, share: f64) -> Option<Vec<(String, f64)>> {
        self.is_in_epoch().then(|| self.current.metrics.values(share))
    }

    /// What the last finished epoch of the loop came to.
    pub fn last(&self) -> &[(String, f64)] {
        &self.current.last
    }

    /// The values of the window of batches, if it has `size`; the next one begins.
    pub fn full_window(&mut self, size: usize, add_up: &AddUp) -> Result<Option<Vec<(String, f64)>>, String> {
        if self.current.window < size {
            return Ok(None);
        }
        self.read_back()?;
        self.current.window = 0;
        self.current.metrics.take_window(add_up).map(Some)
    }

    /// Does it matter what the script uses now? Between the beginning of an epoch and its pass over the training images it does.
    pub fn is_watched(&self) -> bool {
        self.current.cut.as_ref().is_some_and(Cut::is_watched)
    }

    /// The script has used what changes while it trains.
    pub fn used_before_pass(&mut self, what: &str) {
        self.current.cut = self.current.cut.take().map(|cut| cut.used_before_pass(what));
    }

    /// A pass over the training images begins, with `made` objects there. Is it the epoch's one?
    pub fn begin_pass(&mut self, made: u64) -> bool {
        let Some(cut) = self.current.cut.take() else { return false };
        let (cut, first) = cut.begin_pass();
        let own = first && made != self.current.began.counters["objects"].as_u64().unwrap_or(0);
        self.current.cut =
            Some(if own { cut.used_before_pass("a network, optimiser or store made for the epoch") } else { cut });
        first
    }

    /// The run cannot go on inside the epoch at hand.
    pub fn never(&mut self, why: String) {
        if let Some(cut) = self.current.cut.take() {
            self.current.cut = Some(cut.never(why));
        }
    }

    /// Why the run cannot go on inside the epoch at hand.
    pub fn why_never(&self) -> Option<&str> {
        self.current.cut.as_ref().and_then(Cut::why_never)
    }

    pub fn place(&self) -> &Place {
        &self.current.place
    }

    /// The loop's number, from 1, and from 0.
    pub fn number(&self) -> usize {
        self.loops
    }

    pub fn index(&self) -> usize {
        self.loops - 1
    }

    pub fn is_in_loop(&self) -> bool {
        self.current.stage != Stage::Outside
    }

    pub fn was_left(&self) -> bool {
        self.current.stage == Stage::Left
    }

    pub fn is_skipped(&self) -> bool {
        self.current.skipped
    }

    pub fn is_in_epoch(&self) -> bool {
        self.current.cut.is_some()
    }

    /// The loop by number, from 0, and name, and the epoch, from 1.
    pub fn epoch_at_hand(&self) -> Option<(usize, String, usize)> {
        let place = self.place();
        self.is_in_epoch().then(|| (self.index(), place.label.clone(), place.epoch + 1))
    }

    pub fn step(&self) -> u64 {
        self.step
    }

    pub fn made(&self) -> u64 {
        self.current.made
    }

    pub fn left_early(&self) -> &[usize] {
        &self.left_early
    }

    /// When the last epoch began.
    pub fn began(&self) -> &AtEpoch {
        &self.current.began
    }

    /// What was logged in the epoch and in the window, and how many batches are in that; nothing may be pending.
    pub fn logged(&self) -> ([Saved; 2], usize) {
        (self.current.metrics.saved(), self.current.window)
    }

    /// As it was at a checkpoint, between two epochs.
    pub fn put_back(&mut self, step: u64, last: &[(String, f64)], left_early: &[usize]) {
        (self.step, self.left_early) = (step, left_early.to_vec());
        self.current.last = last.to_vec();
    }

    /// As it was at a checkpoint inside the epoch. What was logged before the pass is among what the checkpoint has gathered.
    pub fn put_back_inside(&mut self, step: u64, logged: [Saved; 2], window: usize) {
        (self.step, self.current.window) = (step, window);
        self.current.metrics = Metrics::restored(logged);
    }
}
