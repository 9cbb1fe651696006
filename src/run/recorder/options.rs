//! How a run is written down.

use std::time::Duration;

/// What the command line says about it.
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
