//! `for epoch in run.epochs(n)`: the one way through a loop over epochs. Whoever drives it cannot begin an epoch before the one
//! before is over, nor leave the loop unnoticed.

use super::front::Run;
use std::rc::Rc;

/// A loop over epochs; each item is an epoch that has begun, counted from 0.
#[derive(Clone)]
pub struct Epochs {
    run: Rc<Run>,
    next: usize,
    count: usize,
    /// Which loop of the script it is, once it is under way.
    under_way: Option<usize>,
}

/// Why a loop does not go on.
#[derive(Debug)]
pub enum Stop {
    /// Somebody has asked to stop; the run can go on from here.
    Interrupted,
    Failed(String),
}

impl Epochs {
    /// A loop over `count` epochs begins; `label` names it where a script has several.
    pub fn begin(run: &Rc<Run>, count: usize, label: &str) -> Result<Self, String> {
        let next = run.begin_loop(count, label)?;
        Ok(Self { run: run.clone(), next, count, under_way: None })
    }
}

impl Iterator for Epochs {
    type Item = Result<usize, Stop>;

    fn next(&mut self) -> Option<Self::Item> {
        let epoch = self.next;
        let asked = match self.run.is_asked_between_epochs() {
            Ok(asked) => asked,
            Err(message) => return Some(Err(Stop::Failed(message))),
        };
        if asked {
            return Some(Err(self.run.stop_before_epoch(epoch).map_or_else(Stop::Failed, |()| Stop::Interrupted)));
        }
        self.next += 1;
        self.under_way = (epoch < self.count).then(|| self.run.loop_number());
        let told = if epoch < self.count { self.run.begin_epoch(epoch) } else { self.run.finish_loop() };
        match told {
            Err(message) => Some(Err(Stop::Failed(message))),
            Ok(()) => (epoch < self.count).then_some(Ok(epoch)),
        }
    }
}

/// A loop that was left before its end.
impl Drop for Epochs {
    fn drop(&mut self) {
        if let Some(number) = self.under_way {
            self.run.left_loop(number);
        }
    }
}
