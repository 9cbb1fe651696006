//! A shard's order of a pass: which of its images come when, and what comes behind them from beside the split. Of a run with one shard
//! that is the whole pass.

use super::in_memory::Split;
use super::mixed::{Mixed, of_shard};
use crate::base::random::Generator;
use crate::data::error::Result;

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

/// One shard of a pass.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub shard: usize,
    /// Its images, in their order.
    pub order: Vec<u32>,
    /// What comes behind the images of each batch, if something does.
    pub mixed: Option<Mixed>,
}

impl Lane {
    /// Shard `shard` of so many, which has `len` images of the split, of which the pass uses `used`, `each` in a batch.
    pub fn new(
        split: &Split,
        order: BatchOrder,
        (shard, shards): (usize, usize),
        len: usize,
        used: usize,
        each: usize,
    ) -> Result<Self> {
        let image = |place: u32| shard as u32 + place * shards as u32;
        let (order, mixed) = match order {
            BatchOrder::Sequential => ((0..len as u32).map(image).collect(), None),
            BatchOrder::Shuffled { seed, pass } => {
                // Named, so that the order has nothing in common with other uses of the seed.
                let stream = Generator::stream(seed, pass).name().fork("order of batches");
                let own = of_shard(stream, shard, shards).generator().permutation(len);
                // Of a shard without images none are behind.
                let mixed =
                    if len == 0 { None } else { Mixed::of(split, each, (used, len), (seed, pass), (shard, shards))? };
                (own.into_iter().map(image).collect(), mixed)
            }
        };
        Ok(Self { shard, order, mixed })
    }

    /// Those in batch `number`, of `each`.
    pub fn images(&self, number: usize, each: usize) -> &[u32] {
        // Nothing overflows where `each` is huge: then there is one batch.
        let start = number.saturating_mul(each).min(self.order.len());
        &self.order[start..self.order.len().min(start.saturating_add(each))]
    }
}
