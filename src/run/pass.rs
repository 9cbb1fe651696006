//! The epoch's pass over the training images: the one place inside an epoch where a run can be cut in two, between two batches.

use super::epochs::Stop;
use super::front::Run;
use crate::base::interrupt;
use std::rc::Rc;

/// The pass under way. While it is, an interruption waits for the end of a batch.
#[derive(Clone)]
pub struct Pass {
    run: Rc<Run>,
    /// Batches that are over.
    done: usize,
}

impl Pass {
    /// A pass over the training images begins: is it the epoch's own? Then this many of its batches are done already.
    pub fn begin(run: &Rc<Run>) -> Result<Option<Self>, String> {
        Ok(run.begin_pass()?.map(|done| Self { run: run.clone(), done }))
    }

    /// How many batches are over.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Another batch is to begin, if there is one among the `count` of the pass.
    pub fn next_batch(&mut self, count: usize) -> Result<(), Stop> {
        if self.run.between_batches(self.done, self.done < count).map_err(Stop::Failed)? {
            return Err(Stop::Interrupted);
        }
        self.done += 1;
        Ok(())
    }
}

/// Nobody takes batches of the pass any more.
impl Drop for Pass {
    fn drop(&mut self) {
        interrupt::hold(false);
    }
}
