//! What recording costs: the time that goes into the record itself, not into what is recorded.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A clock that runs while something is written down.
#[derive(Debug, Default)]
pub struct Overhead {
    spent: Cell<Duration>,
    runs: Cell<bool>,
}

impl Overhead {
    /// Do `work` with the clock running. Inside other work of this kind nothing is counted twice.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        if self.runs.replace(true) {
            return work();
        }
        let began = Instant::now();
        let done = work();
        self.spent.set(self.spent.get() + began.elapsed());
        self.runs.set(false);
        done
    }

    /// The time so far, in this sitting.
    pub fn seconds(&self) -> f64 {
        self.spent.get().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_inside_is_counted_once() {
        let clock = Overhead::default();
        let nap = || std::thread::sleep(Duration::from_millis(20));
        let began = Instant::now();
        clock.time(|| {
            nap();
            clock.time(nap);
        });
        let all = began.elapsed().as_secs_f64();
        assert!(clock.seconds() >= 0.04 && clock.seconds() <= all, "{} of {all}", clock.seconds());
        let before = clock.seconds();
        nap();
        assert_eq!(clock.seconds(), before, "between two pieces of work the clock stands");
    }
}
