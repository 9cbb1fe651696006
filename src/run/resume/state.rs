//! What a checkpoint says beside its tensors.

use crate::run::recorder::{Best, Lengths};
use crate::run::training::{Saved, Training};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the checkpoint's form.
pub const FORMAT: u32 = 1;

/// Where a run stood: inside a loop over epochs, between two batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The loop's number in the script, from 0, and its name.
    pub index: usize,
    pub label: String,
    pub epochs: usize,
    /// The epoch to go on with, from 0.
    pub epoch: usize,
    /// The batches of it that are done.
    pub batch: usize,
    /// Is the loop over?
    pub ended: bool,
}

/// All that is not a tensor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub format: u32,
    pub position: Position,
    /// Batches trained on so far.
    pub step: u64,
    /// Time spent so far.
    pub seconds: f64,
    /// Of it, the time that recording took.
    #[serde(default)]
    pub recording: f64,
    pub device: String,
    pub threads: usize,
    /// Are the stores of power-iteration vectors in it?
    pub vectors: bool,
    /// The script's objects, as the holder describes them.
    pub objects: Value,
    /// Generators and counters when the epoch began, and now.
    pub at_epoch: Value,
    pub now: Value,
    /// What was logged in the epoch under way, and in the window of batches.
    pub epoch: Saved,
    pub window: Saved,
    pub window_batches: usize,
    /// What the last finished epoch came to.
    pub last: Vec<(String, f64)>,
    /// How long the files of metrics were.
    pub lengths: Lengths,
    /// What the script keeps, and the results that it has stated.
    pub kept: Map<String, Value>,
    pub results: Vec<Value>,
    /// The best weights so far; their files are among the tensors, as `best/<file>`.
    #[serde(default)]
    pub best: Vec<Best>,
    /// Loops that were left by `break`.
    pub left_early: Vec<usize>,
    /// The files of its parts, where the run has several shards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<String>,
}

impl Position {
    /// The beginning of epoch `epoch` of the loop under way.
    pub fn before_epoch(training: &Training, epoch: usize) -> Self {
        let place = training.place();
        let (label, epochs) = (place.label.clone(), place.epochs);
        Self { index: training.index(), label, epochs, epoch, batch: 0, ended: false }
    }

    /// In the epoch at hand, of whose pass `batch` batches are done.
    pub fn after_batch(training: &Training, batch: usize) -> Self {
        Self { batch, ..Self::before_epoch(training, training.place().epoch) }
    }

    /// The end of the loop under way.
    pub fn at_end(training: &Training) -> Self {
        Self { ended: true, ..Self::before_epoch(training, training.place().epochs) }
    }

    /// `robust epoch 3/20, batch 5`, the number of the batch or epoch that comes next counted from 1.
    pub fn describe(&self) -> String {
        let name = if self.label.is_empty() { String::new() } else { format!("{} ", self.label) };
        match (self.ended, self.batch) {
            (true, _) => format!("the end of the loop over {} {name}epochs", self.epochs),
            (_, 0) => format!("the beginning of {name}epoch {}/{}", self.epoch + 1, self.epochs),
            (_, batch) => format!("{name}epoch {}/{}, after batch {batch}", self.epoch + 1, self.epochs),
        }
    }
}
