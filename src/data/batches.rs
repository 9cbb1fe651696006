//! One pass over a split, batch by batch, in file order or in an order drawn from seed and pass.

use super::error::{Error, Result};
use super::split::Split;
use crate::compute::random::Generator;
use candle_core::Tensor;

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
    /// Images, [n, C, H, W], in the split's dtype and on its device.
    pub x: Tensor,
    /// Labels, [n] of u32.
    pub y: Tensor,
    /// Where the images stand in the split.
    pub index: Vec<u32>,
    /// The batch's number in this pass, from 0.
    pub number: usize,
    /// Batches in this pass.
    pub count: usize,
}

/// The batches of one pass. Tensors are made when a batch is asked for.
#[derive(Debug, Clone)]
pub struct Batches {
    split: Split,
    order: Vec<u32>,
    size: usize,
    count: usize,
    next: usize,
}

impl Batches {
    pub(super) fn new(split: Split, size: usize, order: BatchOrder) -> Result<Self> {
        if size == 0 {
            let (split, len) = (split.name().into(), split.len());
            return Err(Error::BatchSize { split, size, len, message: "give a size of at least 1" });
        }
        let order = match order {
            BatchOrder::Sequential => (0..split.len() as u32).collect(),
            BatchOrder::Shuffled { seed, pass } => {
                // Named, so that the order has nothing in common with other uses of the seed.
                Generator::stream(seed, pass).fork("order of batches").permutation(split.len())
            }
        };
        let count = split.len().div_ceil(size);
        Ok(Self { split, order, size, count, next: 0 })
    }

    /// Leave out the last batch if it is shorter than the others. An error if no batch would be left.
    pub fn drop_last(mut self) -> Result<Self> {
        self.count = self.split.len() / self.size;
        if self.count == 0 {
            return Err(Error::BatchSize {
                split: self.split.name().into(),
                size: self.size,
                len: self.split.len(),
                message: "no batch is left when the short one is dropped; give a smaller size or keep it",
            });
        }
        Ok(self)
    }

    /// Batches in the whole pass, those already given included.
    pub fn count_in_pass(&self) -> usize {
        self.count
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
        let start = number * self.size;
        // The sum cannot overflow where `size` is huge: then there is one batch, and `start` is 0.
        let end = self.order.len().min(start + self.size);
        let index = self.order[start..end].to_vec();
        let batch = self.split.images(&index).and_then(|x| {
            let y = self.split.labels(&index)?;
            Ok(Batch { x, y, index, number, count: self.count })
        });
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}
