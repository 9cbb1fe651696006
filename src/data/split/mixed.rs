//! Images of a second data set in the batches of a first: which of them stand behind its own in a batch.
//!
//! ```text
//! behind n images of the first, ratio r:   s(n) = round(r n) of the M of the second
//! batch b of pass p, in batches of size B: they begin at t = p S + b s(B), S the sum of s over the batches of a pass
//! at t:                                    number t mod M of the order that is drawn from the seed and the round t div M
//! ```
//!
//! So all M are seen before one is seen again, however many passes that takes; and what a batch holds follows from seed, pass and its
//! number alone. An image gets its augmentation for the round, in which it is seen once. Where a run has several shards, each has those of
//! the M whose numbers are its own, an order of them, and its own part of B.

use super::in_memory::Split;
use crate::base::random::{Generator, StreamName};
use crate::data::error::{Error, Result};
use candle_core::{Device, Tensor};

/// What stands behind the images of the batches of one pass.
#[derive(Debug, Clone)]
pub(super) struct Mixed {
    split: Split,
    ratio: f64,
    /// Images of the first data set, behind whose numbers these count.
    before: u32,
    /// How many of the second there are to draw from.
    among: usize,
    /// Behind a full batch.
    share: usize,
    /// Where the pass begins, t above.
    start: u128,
    /// The images of the pass, in their order.
    order: Vec<u32>,
}

/// The stream of a shard; where there is one shard, the stream itself.
pub(super) fn of_shard(stream: StreamName, shard: usize, shards: usize) -> StreamName {
    if shards == 1 { stream } else { stream.fork(&format!("shard {shard} of {shards}")) }
}

/// How many stand behind `n` images.
pub(super) fn share(ratio: f64, n: usize) -> usize {
    (ratio * n as f64).round() as usize
}

impl Mixed {
    /// For one pass over the first `used` images of its order in batches of `size`; nothing where nothing stands beside `split`, of which
    /// there are `len` images to go through, all or those of `shard` (a shard among so many). An error where a full batch would get none.
    pub fn of(
        split: &Split,
        size: usize,
        (used, len): (usize, usize),
        (seed, pass): (u64, u64),
        shard: (usize, usize),
    ) -> Result<Option<Self>> {
        let Some((other, ratio)) = split.beside() else { return Ok(None) };
        let size = size.min(len);
        let own = share(ratio, size);
        if own == 0 {
            return Err(Error::Beside {
                message: format!(
                    "batches of {size} with beside_ratio {ratio} hold none of the images beside, since {ratio} * {size} is rounded to 0; \
                     give larger batches or a larger ratio"
                ),
            });
        }
        let total = used / size * own + share(ratio, used % size);
        // Those whose numbers, which count on from the first data set's, are the shard's.
        let (shard, shards) = shard;
        let first = (shard + shards - split.len() % shards) % shards;
        let m = other.len().saturating_sub(first).div_ceil(shards);
        if m == 0 {
            let message = format!("{} images beside are too few for {shards} shards; give fewer shards", other.len());
            return Err(Error::Beside { message });
        }
        let start = u128::from(pass) * total as u128;
        let mut order = Vec::with_capacity(total);
        while order.len() < total {
            let (round, at) = at(start + order.len() as u128, m);
            let stream = Generator::stream(seed, round).name().fork("order of images beside");
            let of_round = of_shard(stream, shard, shards).generator().permutation(m);
            order.extend(
                of_round[at..].iter().take(total - order.len()).map(|place| first as u32 + place * shards as u32),
            );
        }
        let before = split.len() as u32;
        Ok(Some(Self { split: other, ratio, before, among: m, share: own, start, order }))
    }

    /// Where they come from.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// What stands behind the `n` images of batch `number`: images, labels, and the numbers that they have.
    pub fn make(
        &self,
        number: usize,
        n: usize,
        augmented: bool,
        here: bool,
    ) -> candle_core::Result<(Tensor, Tensor, Vec<u32>)> {
        let first = number * self.share;
        let places = &self.order[first..first + share(self.ratio, n)];
        let numbers: Vec<u32> = places.iter().map(|place| self.before + place).collect();
        let draws = augmented.then(|| {
            let mut draws = Vec::with_capacity(numbers.len());
            while draws.len() < numbers.len() {
                let (round, at) = at(self.start + (first + draws.len()) as u128, self.among);
                let end = numbers.len().min(draws.len() + self.among - at);
                draws.extend(self.split.augmentation().draw(self.split.seed(), round, &numbers[draws.len()..end]));
            }
            draws
        });
        let x = self.split.make_near(places, draws.as_deref(), here)?;
        Ok((x, self.split.make_labels(places)?, numbers))
    }
}

/// In which round over `m` images `t` is, and at which place of it.
fn at(t: u128, m: usize) -> (u64, usize) {
    ((t / m as u128) as u64, (t % m as u128) as usize)
}

/// One behind the other; on `device` where they are on two.
pub(super) fn joined(a: Tensor, b: Tensor, device: &Device) -> candle_core::Result<Tensor> {
    if a.device().same_device(b.device()) {
        return Tensor::cat(&[a, b], 0);
    }
    Tensor::cat(&[a.to_device(device)?, b.to_device(device)?], 0)
}
