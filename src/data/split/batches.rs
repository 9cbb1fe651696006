//! One pass over a split, batch by batch, in file order or in an order drawn from seed and pass. Batches are made on a
//! thread of their own while the loop works on an earlier one, two ahead, in main memory, and moved to the device where
//! the loop takes them; or made, with the same draws, on the device where the images lie there. Where images of a second data set
//! stand beside the split, those of a shuffled pass hold some of these too ([`super::mixed`]).

use super::ahead::Ahead;
use super::in_memory::Split;
use super::mixed::{Mixed, joined};
use crate::base::random::Generator;
use crate::compute::checked;
use crate::data::error::{Error, Result};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// How many batches are made ahead of the loop.
const AHEAD: usize = 2;

/// In which order a pass visits the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOrder {
    /// 0, 1, 2, ...
    Sequential,
    /// A random order: one for each seed and pass, the same on every machine.
    Shuffled {
        /// The seed of the run.
        seed: u64,
        /// Which pass over the split this is, from 0: the epoch.
        pass: u64,
    },
}

/// Some images with their labels.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Images, `[n, C, H, W]`, in the split's dtype and on its device.
    pub x: Tensor,
    /// Labels, `[n]` of u32.
    pub y: Tensor,
    /// Where the images stand in the split; those of what stands beside it count on from there.
    pub index: Vec<u32>,
    /// How many of them, the last ones, are of what stands beside the split.
    pub beside: usize,
    /// The batch's number in this pass, from 0.
    pub number: usize,
    /// Batches in this pass.
    pub count: usize,
}

/// The batches of one pass, made a few ahead on another thread from the first [`next`](Iterator::next) on. A clone goes on
/// from where this one is, on a thread of its own.
#[derive(Debug)]
pub struct Batches {
    plan: Arc<Plan>,
    count: usize,
    next: usize,
    ahead: usize,
    making: Option<Ahead<candle_core::Result<Batch>>>,
}

impl Split {
    /// One pass over the split in batches of `size`; the last one may be shorter. Size 0 is an error.
    pub fn batches(&self, size: usize, order: BatchOrder) -> Result<Batches> {
        Batches::new(self.clone(), size, order)
    }
}

/// All that batch number `n` depends on.
#[derive(Debug, Clone)]
struct Plan {
    split: Split,
    order: Vec<u32>,
    size: usize,
    /// The pass that the augmentation is drawn for, if there is one.
    augmented: Option<u64>,
    /// What comes behind the images of each batch, if something does.
    mixed: Option<Mixed>,
}

impl Plan {
    /// Batch `number`; `here` says that it may be made on the device, by the thread that uses it.
    fn make(&self, number: usize, count: usize, here: bool) -> candle_core::Result<Batch> {
        let start = number * self.size;
        // The sum cannot overflow where `size` is huge: then there is one batch, and `start` is 0.
        let end = self.order.len().min(start + self.size);
        let index = self.order[start..end].to_vec();
        let split = &self.split;
        let draws = self.augmented.map(|pass| split.augmentation().draw(split.seed(), pass, &index));
        let x = split.make_near(&index, draws.as_deref(), here)?;
        let own = Batch { x, y: split.make_labels(&index)?, index, beside: 0, number, count };
        let Some(mixed) = &self.mixed else { return Ok(own) };
        let (x, y, others) = mixed.make(number, own.index.len(), self.augmented.is_some(), here)?;
        let (x, y) = (joined(own.x, x, split.device())?, joined(own.y, y, split.device())?);
        Ok(Batch { x, y, beside: others.len(), index: [own.index, others].concat(), ..own })
    }
}

impl Batch {
    /// On the split's device, with what is known of its values, so that nobody has to read them back to check.
    fn to_device(&self, plan: &Plan) -> candle_core::Result<Self> {
        let split = &plan.split;
        let device: &Device = split.device();
        let moved = Self { x: self.x.to_device(device)?, y: self.y.to_device(device)?, ..self.clone() };
        if split.are_images() && plan.mixed.as_ref().is_none_or(|mixed| mixed.split().are_images()) {
            checked::note_images(&moved.x);
        }
        if split.classes() > 0 {
            checked::note_labels(&moved.y, split.classes() as i64 - 1);
        }
        Ok(moved)
    }
}

impl Batches {
    pub(in crate::data) fn new(split: Split, size: usize, order: BatchOrder) -> Result<Self> {
        if size == 0 {
            let (split, len) = (split.name().into(), split.len());
            return Err(Error::BatchSize { split, size, len, message: "give a size of at least 1" });
        }
        let (order, mixed) = match order {
            BatchOrder::Sequential => ((0..split.len() as u32).collect(), None),
            BatchOrder::Shuffled { seed, pass } => {
                // Named, so that the order has nothing in common with other uses of the seed.
                let own = Generator::stream(seed, pass).fork("order of batches").permutation(split.len());
                (own, Mixed::of(&split, size, split.len(), (seed, pass))?)
            }
        };
        let count = split.len().div_ceil(size);
        let all = || [Some(&split), mixed.as_ref().map(Mixed::split)].into_iter().flatten();
        let elsewhere = all().any(|s| !s.in_main_memory()) || all().all(|s| s.resident().is_some());
        let ahead = if elsewhere { 0 } else { AHEAD };
        let plan = Arc::new(Plan { split, order, size, augmented: None, mixed });
        Ok(Self { plan, count, next: 0, ahead, making: None })
    }

    /// With the split's augmentation ([`Split::augmentation`]), if it has one, as it is drawn for pass `pass`: an image gets
    /// the same in every pass over it that has this number, whatever the order and the size of the batches.
    pub fn augmented(mut self, pass: u64) -> Self {
        let augmented = Some(pass).filter(|_| !self.plan.split.augmentation().is_none());
        Arc::make_mut(&mut self.plan).augmented = augmented;
        Self { making: None, ..self }
    }

    /// Make `batches` batches ahead of the loop, 2 if this is not called; 0 makes each when it is asked for, on the thread
    /// that asks. The batches are the same.
    pub fn ahead(self, batches: usize) -> Self {
        Self { ahead: batches, making: None, ..self }
    }

    /// Leave out the last batch if it is shorter than the others. An error if no batch would be left.
    pub fn drop_last(mut self) -> Result<Self> {
        let Plan { split, size, mixed, .. } = &*self.plan;
        self.count = split.len() / size;
        if self.count == 0 {
            return Err(Error::BatchSize {
                split: split.name().into(),
                size: *size,
                len: split.len(),
                message: "no batch is left when the short one is dropped; give a smaller size or keep it",
            });
        }
        // What would have come behind the short batch comes in the next pass.
        let mixed = mixed.as_ref().map(|mixed| mixed.again(split, *size, self.count * size)).transpose()?.flatten();
        Arc::make_mut(&mut self.plan).mixed = mixed;
        Ok(Self { making: None, ..self })
    }

    /// Leave out the batches before number `first`: a pass that was interrupted goes on with it.
    pub fn from_batch(self, first: usize) -> Self {
        Self { next: first.min(self.count), making: None, ..self }
    }

    /// Batch `number`, which follows the last one; from the thread that makes them, which is started if there is none.
    fn batch(&mut self, number: usize) -> candle_core::Result<Batch> {
        let count = self.count;
        if self.ahead == 0 {
            return self.plan.make(number, count, true);
        }
        if self.making.is_none() {
            let plan = self.plan.clone();
            let items = (number..count).map(move |number| plan.make(number, count, false));
            self.making = Some(Ahead::start(self.ahead, items)?);
        }
        // The thread has an item for every number, unless it panicked, and that goes on in `next`.
        self.making.as_mut().and_then(Iterator::next).expect("a batch for every number")
    }

    /// Batches in the whole pass, those already given included.
    pub fn count_in_pass(&self) -> usize {
        self.count
    }
}

impl Clone for Batches {
    fn clone(&self) -> Self {
        Self { plan: self.plan.clone(), making: None, ..*self }
    }
}

impl Iterator for Batches {
    type Item = candle_core::Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let batch = self.batch(number);
        if self.next == self.count {
            self.making = None;
        }
        // Moved here and not on the other thread: a device's work is in order on the thread that uses it.
        Some(batch.and_then(|b| b.to_device(&self.plan)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}
