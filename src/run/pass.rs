//! The epoch's pass over the training images: the one place inside an epoch where a run can be cut in two, between two batches.

use super::epochs::Stop;
use super::front::Run;
use crate::base::random::Generator;
use crate::compute::collective::Slice;
use std::rc::Rc;

/// The pass under way. While it is, an interruption waits for the end of a batch.
#[derive(Clone)]
pub struct Pass {
    run: Rc<Run>,
    /// Batches that are over.
    done: usize,
    /// Can the run go on between two of its batches?
    can_be_cut: bool,
    main: Main,
}

/// Where the script's generator was before the part of a batch that is under way, and whether that is the last. A clone has none under
/// way.
#[derive(Default)]
struct Main(Option<(u128, bool)>);

impl Clone for Main {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl Pass {
    /// A pass over the training images begins: is it the epoch's own?
    pub fn begin(run: &Rc<Run>) -> Result<Option<Self>, String> {
        let done = run.begin_pass()?;
        Ok(done.map(|done| Self {
            run: run.clone(),
            done: done.unwrap_or(0),
            can_be_cut: done.is_some(),
            main: Main::default(),
        }))
    }

    /// How many batches are over.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Another batch is to begin, if there is one among the `count` of the pass.
    pub fn next_batch(&mut self, count: usize) -> Result<(), Stop> {
        if self.can_be_cut && self.run.between_batches(self.done, self.done < count).map_err(Stop::Failed)? {
            return Err(Stop::Interrupted);
        }
        self.done += 1;
        Ok(())
    }

    /// A part of a batch begins: what the script draws for it is named by the part, so that it is the same whoever has it, and that the
    /// script's generator is where it is on all processes.
    pub fn begin_part(&mut self, slice: Slice, random: &Generator) {
        if self.run.ranks().deals() {
            self.run.set_slice(Some(slice));
            self.main = Main(Some((random.detour(&format!("shard {}", slice.shard)), slice.last)));
        }
    }

    /// It is over, if one was under way.
    pub fn end_part(&mut self, random: &Generator) {
        self.run.set_slice(None);
        if let Some((main, last)) = self.main.0.take() {
            random.end_detour(main, last);
        }
    }
}

/// Nobody takes batches of the pass any more.
impl Drop for Pass {
    fn drop(&mut self) {
        self.run.hold(false);
        self.run.set_slice(None);
    }
}
