//! One pass over a split, batch by batch, in file order or in an order drawn from seed and pass. Batches are made on a
//! thread of their own while the loop works on an earlier one, two ahead, in main memory, and moved to the device where
//! the loop takes them; or made, with the same draws, on the device where the images lie there. Where images of a second data set
//! stand beside the split, those of a shuffled pass hold some of these too ([`super::mixed`]).
//!
//! A run of several shards ([`Strata`]) has an order for each; a batch holds as many of each as of the others, and a process gets its own
//! shards' part of it, together or shard by shard.

use super::ahead::Ahead;
use super::in_memory::Split;
use super::lane::{BatchOrder, Lane};
use super::mixed::{joined, share};
use crate::compute::checked;
use crate::compute::collective::{Slice, Strata};
use crate::data::error::{Error, Result};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// How many batches are made ahead of the loop.
const AHEAD: usize = 2;

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
    /// Which part of the pass's batch these are, where it is dealt out.
    pub slice: Slice,
}

/// The batches of one pass, made a few ahead on another thread from the first [`next`](Iterator::next) on. A clone goes on
/// from where this one is, on a thread of its own.
#[derive(Debug)]
pub struct Batches {
    plan: Arc<Plan>,
    /// The next item: a batch, or a part of one.
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
    order: BatchOrder,
    size: usize,
    strata: Strata,
    /// The shards of this process; of one shard, all images.
    lanes: Vec<Lane>,
    /// The pass that the augmentation is drawn for, if there is one.
    augmented: Option<u64>,
    drop_last: bool,
    /// Batches of the pass, and what one of them is made of here: ranges of `lanes`.
    count: usize,
    parts: Vec<std::ops::Range<usize>>,
}

impl Plan {
    fn new(split: Split, order: BatchOrder, size: usize, strata: Strata, drop_last: bool) -> Result<Self> {
        let (shards, len) = (strata.shards, split.len());
        if !size.is_multiple_of(shards) {
            let near: Vec<String> = strata.sizes_near(size).iter().map(ToString::to_string).collect();
            let message = format!("{size} images cannot be dealt to {shards} shards alike; take {}", near.join(" or "));
            return Err(Error::Shards { split: split.name().into(), message });
        }
        let each = size / shards;
        let count = if drop_last { len / size } else { len.div_ceil(size) };
        let lane = |shard| {
            // What would have come behind the short batch comes in the next pass.
            let own = strata.len_of(shard, len);
            Lane::new(&split, order, (shard, shards), own, if drop_last { count * each } else { own }, each)
        };
        let lanes = strata.own.clone().map(lane).collect::<Result<Vec<_>>>()?;
        let start = strata.own.start;
        let parts = strata.parts().into_iter().map(|own| own.start - start..own.end - start).collect();
        Ok(Self { split, order, size, strata, lanes, augmented: None, drop_last, count, parts })
    }

    /// The images of a shard in batch `number`, those beside them counted too.
    fn in_batch(&self, shard: usize, number: usize) -> usize {
        let own = self.strata.in_batch(shard, self.split.len(), number, self.size / self.strata.shards);
        let shuffled = matches!(self.order, BatchOrder::Shuffled { .. });
        own + self.split.beside().filter(|_| shuffled).map_or(0, |(_, ratio)| share(ratio, own))
    }

    /// Item `item`: a part of a batch; `here` says that it may be made on the device, by the thread that uses it.
    fn make(&self, item: usize, here: bool) -> candle_core::Result<Batch> {
        let (number, part) = (item / self.parts.len(), item % self.parts.len());
        let lanes = &self.lanes[self.parts[part].clone()];
        let each = self.size / self.strata.shards;
        let mut index: Vec<u32> = lanes.iter().flat_map(|lane| lane.images(number, each)).copied().collect();
        let own: usize = lanes.iter().map(|lane| self.in_batch(lane.shard, number)).sum();
        let slice = Slice {
            own,
            all: (0..self.strata.shards).map(|shard| self.in_batch(shard, number)).sum(),
            shard: lanes.first().map_or(0, |lane| lane.shard),
            lane: part,
            last: part + 1 == self.parts.len(),
            number,
        };
        if own == 0 {
            // A stand-in, one of its own if it has any, so that there is something to compute with.
            index.push(lanes.iter().find_map(|lane| lane.order.first().copied()).unwrap_or(0));
        }
        let split = &self.split;
        let draws = self.augmented.map(|pass| split.augmentation().draw(split.seed(), pass, &index));
        let x = split.make_near(&index, draws.as_deref(), here)?;
        let y = split.make_labels(&index)?;
        let mut batch = Batch { x, y, index, beside: 0, number, count: self.count, slice };
        for lane in lanes.iter().filter(|_| own > 0) {
            let Some(mixed) = &lane.mixed else { continue };
            let behind = lane.images(number, each).len();
            let (x, y, others) = mixed.make(number, behind, self.augmented.is_some(), here)?;
            if others.is_empty() {
                continue;
            }
            batch.x = joined(batch.x, x, split.device())?;
            batch.y = joined(batch.y, y, split.device())?;
            batch.beside += others.len();
            batch.index.extend(others);
        }
        Ok(batch)
    }

    fn items(&self) -> usize {
        self.count * self.parts.len()
    }

    /// How many items are made ahead: none where they are made on a device.
    fn ahead(&self) -> usize {
        let other = self.split.beside().map(|(other, _)| other);
        let all = || [Some(&self.split), other.as_ref()].into_iter().flatten();
        let elsewhere = all().any(|s| !s.in_main_memory()) || all().all(|s| s.resident().is_some());
        if elsewhere { 0 } else { AHEAD }
    }
}

impl Batch {
    /// On the split's device, with what is known of its values, so that nobody has to read them back to check.
    fn to_device(&self, plan: &Plan) -> candle_core::Result<Self> {
        let split = &plan.split;
        let device: &Device = split.device();
        let moved = Self { x: self.x.to_device(device)?, y: self.y.to_device(device)?, ..self.clone() };
        let others = plan.lanes.iter().filter_map(|lane| lane.mixed.as_ref());
        if split.are_images() && others.into_iter().all(|mixed| mixed.split().are_images()) {
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
        let plan = Plan::new(split, order, size, Strata::default(), false)?;
        Ok(Self { next: 0, ahead: plan.ahead(), plan: Arc::new(plan), making: None })
    }

    /// The same pass of a run with these shards: a batch has as many of each, and of them here are those of this process.
    pub fn dealt(self, strata: &Strata) -> Result<Self> {
        let drop_last = self.plan.drop_last;
        self.planned(strata.clone(), drop_last)
    }

    /// The same pass over the same images in batches of the same size.
    fn planned(self, strata: Strata, drop_last: bool) -> Result<Self> {
        let Plan { split, order, size, augmented, .. } = &*self.plan;
        let plan = Plan::new(split.clone(), *order, *size, strata, drop_last)?;
        Ok(Self { plan: Arc::new(Plan { augmented: *augmented, ..plan }), making: None, ..self })
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
    pub fn drop_last(self) -> Result<Self> {
        let Plan { split, size, strata, .. } = &*self.plan;
        if split.len() < *size {
            return Err(Error::BatchSize {
                split: split.name().into(),
                size: *size,
                len: split.len(),
                message: "no batch is left when the short one is dropped; give a smaller size or keep it",
            });
        }
        let strata = strata.clone();
        self.planned(strata, true)
    }

    /// Leave out the batches before number `first`: a pass that was interrupted goes on with it.
    pub fn from_batch(self, first: usize) -> Self {
        Self { next: first.min(self.plan.count) * self.plan.parts.len(), making: None, ..self }
    }

    /// Item `item`, which follows the last one; from the thread that makes them, which is started if there is none.
    fn batch(&mut self, item: usize) -> candle_core::Result<Batch> {
        if self.ahead == 0 {
            return self.plan.make(item, true);
        }
        if self.making.is_none() {
            let plan = self.plan.clone();
            let items = (item..plan.items()).map(move |item| plan.make(item, false));
            self.making = Some(Ahead::start(self.ahead, items)?);
        }
        // The thread has an item for every number, unless it panicked, and that goes on in `next`.
        self.making.as_mut().and_then(Iterator::next).expect("a batch for every number")
    }

    /// Batches in the whole pass, those already given included.
    pub fn count_in_pass(&self) -> usize {
        self.plan.count
    }

    /// Is what comes next the first part of its batch here?
    pub fn begins_a_batch(&self) -> bool {
        self.next.is_multiple_of(self.plan.parts.len())
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
        let items = self.plan.items();
        if self.next == items {
            return None;
        }
        let item = self.next;
        self.next += 1;
        let batch = self.batch(item);
        if self.next == items {
            self.making = None;
        }
        // Moved here and not on the other thread: a device's work is in order on the thread that uses it.
        Some(batch.and_then(|b| b.to_device(&self.plan)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.plan.items() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}
