//! How fast a loop goes, and what is left of it.
//!
//! ```text
//! left = elapsed * (epochs - done - share) / (done - first + share)
//! ```
//!
//! `done` whole epochs and `share` of the next; `first` of them belong to an earlier sitting.

use std::time::{Duration, Instant};

/// The clock of the loop under way, in this sitting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    began: Option<Instant>,
    /// Epochs of this loop that an earlier sitting has done.
    first: usize,
    epoch_began: Option<Instant>,
}

impl Pace {
    /// A loop begins.
    pub fn begin() -> Self {
        Self { began: Some(Instant::now()), ..Self::default() }
    }

    /// It begins with epoch `first`.
    pub fn begun_at(self, first: usize) -> Self {
        Self { first, ..self }
    }

    /// An epoch begins.
    pub fn begin_epoch(self) -> Self {
        Self { epoch_began: Some(Instant::now()), ..self }
    }

    /// What the epoch at hand has taken.
    pub fn epoch(&self) -> Duration {
        self.epoch_began.map_or(Duration::ZERO, |t| t.elapsed())
    }

    /// What is left of `epochs` epochs.
    pub fn left(&self, epochs: usize, done: usize, share: f64) -> Option<Duration> {
        left(self.began?.elapsed(), self.first, epochs, done, share)
    }
}

fn left(elapsed: Duration, first: usize, epochs: usize, done: usize, share: f64) -> Option<Duration> {
    let left = epochs as f64 - done as f64 - share;
    let done = done.saturating_sub(first) as f64 + share;
    (done > 0.0 && left > 0.0).then(|| elapsed.mul_f64(left / done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_sitting_has_done_says_nothing_of_the_pace() {
        let seconds = |first, done, share| left(Duration::from_secs(60), first, 10, done, share).map(|d| d.as_secs());
        assert_eq!(seconds(0, 4, 0.0), Some(90));
        assert_eq!(seconds(0, 1, 0.5), Some(340));
        assert_eq!(seconds(7, 8, 0.0), Some(120));
        assert_eq!([seconds(0, 0, 0.0), seconds(3, 3, 0.0), seconds(0, 10, 0.0)], [None; 3]);
    }
}
