//! Which images are whose
//!
//! ```text
//! a run has S shards for its life       image i is of shard i mod S
//! a batch of B takes B / S of each      process r of N has the shards r S / N up to (r + 1) S / N
//! ```
//!
//! So an image meets its own vectors of power iteration in each epoch on the process that keeps them, and no vector travels.

use std::ops::Range;

/// The shards of a run, and which of them this process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strata {
    /// How many there are.
    pub shards: usize,
    /// Those of this process.
    pub own: Range<usize>,
    /// Is each shard's part of a batch a batch of its own, one after another, whose gradients are added?
    pub by_shard: bool,
}

/// The part of a batch that is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Images of the batch that are here, and all of its images; none here is a stand-in, which counts for nothing.
    pub own: usize,
    pub all: usize,
    /// The first of its shards, counted among those of the run, and among those of this process that have batches of their own.
    pub shard: usize,
    pub lane: usize,
    /// Is it this process's last part of the batch?
    pub last: bool,
    /// The batch's number in the pass, from 0.
    pub number: usize,
}

impl Slice {
    /// What a mean over these images counts for in the mean over the batch.
    pub fn share(&self) -> f64 {
        self.own as f64 / self.all as f64
    }
}

impl Default for Strata {
    fn default() -> Self {
        Self { shards: 1, own: 0..1, by_shard: false }
    }
}

impl Strata {
    /// The shards of process `rank` of `world`.
    pub fn deal(shards: usize, rank: usize, world: usize, by_shard: bool) -> Result<Self, String> {
        if shards == 0 || !shards.is_multiple_of(world) {
            let (below, above) = (shards / world * world, shards.next_multiple_of(world));
            let sizes: Vec<String> = [below, above].iter().filter(|n| **n > 0).map(ToString::to_string).collect();
            return Err(format!(
                "{shards} shards cannot be dealt to {world} processes alike; give --shards {}, or start a number of processes that divides \
                 {shards}",
                sizes.join(" or ")
            ));
        }
        let each = shards / world;
        Ok(Self { shards, own: rank * each..(rank + 1) * each, by_shard })
    }

    /// Does this process have everything, as one shard?
    pub fn is_whole(&self) -> bool {
        self.shards == 1
    }

    /// The images of a shard among `count`.
    pub fn len_of(&self, shard: usize, count: usize) -> usize {
        count.saturating_sub(shard).div_ceil(self.shards)
    }

    /// Rows that this process keeps for `count` images: its shards one behind the other.
    pub fn rows(&self, count: usize) -> usize {
        self.own.clone().map(|shard| self.len_of(shard, count)).sum()
    }

    /// Where the rows of a shard of this process begin.
    pub fn first_row(&self, shard: usize, count: usize) -> usize {
        (self.own.start..shard).map(|shard| self.len_of(shard, count)).sum()
    }

    /// The row of an image, if this process has it.
    pub fn row(&self, image: usize, count: usize) -> Option<usize> {
        let shard = image % self.shards;
        (image < count && self.own.contains(&shard)).then(|| self.first_row(shard, count) + image / self.shards)
    }

    /// Which image's a row is.
    pub fn image(&self, row: usize, count: usize) -> usize {
        let mut left = row;
        for shard in self.own.clone() {
            let own = self.len_of(shard, count);
            if left < own {
                return shard + left * self.shards;
            }
            left -= own;
        }
        count
    }

    /// At which places among some images this process's own are.
    pub fn own_among(&self, images: &[usize]) -> Vec<usize> {
        (0..images.len()).filter(|at| self.own.contains(&(images[*at] % self.shards))).collect()
    }

    /// The sizes of batches next to `size` that all shards have equal parts of.
    pub fn sizes_near(&self, size: usize) -> Vec<usize> {
        let below = size / self.shards * self.shards;
        [below, below + self.shards].into_iter().filter(|n| *n > 0).collect()
    }

    /// Images of a shard in batch `number` of a pass over `count` images, `each` of every shard.
    pub fn in_batch(&self, shard: usize, count: usize, number: usize, each: usize) -> usize {
        self.len_of(shard, count).saturating_sub(number * each).min(each)
    }

    /// The parts of a batch that this process has, as ranges of its shards.
    pub fn parts(&self) -> Vec<Range<usize>> {
        if self.by_shard { self.own.clone().map(|shard| shard..shard + 1).collect() } else { vec![self.own.clone()] }
    }

    /// How many vectors of a whole map it keeps: one for each part.
    pub fn lanes(&self) -> usize {
        if self.by_shard { self.own.len() } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_one_row_on_one_process() {
        for (shards, world) in [(1, 1), (4, 1), (4, 2), (4, 4), (6, 3), (6, 2)] {
            for count in [0, 1, 3, 5, 12, 1003] {
                let all: Vec<Strata> =
                    (0..world).map(|rank| Strata::deal(shards, rank, world, false).expect("dealt")).collect();
                assert_eq!(all.iter().map(|own| own.rows(count)).sum::<usize>(), count);
                for image in 0..count {
                    let rows: Vec<(usize, usize)> =
                        all.iter().enumerate().filter_map(|(rank, own)| Some((rank, own.row(image, count)?))).collect();
                    let [(rank, row)] = rows[..] else { panic!("image {image} of {count}: {rows:?}") };
                    assert_eq!(all[rank].image(row, count), image);
                }
            }
        }
        let whole = Strata::default();
        assert!((0..7).all(|image| whole.row(image, 7) == Some(image)) && whole.row(7, 7).is_none());
    }

    #[test]
    fn shards_are_dealt_alike_or_not_at_all() {
        let error = Strata::deal(4, 0, 3, false).expect_err("4 to 3");
        assert!(error.contains("give --shards 3 or 6"), "{error}");
        assert!(Strata::deal(2, 0, 3, false).expect_err("2 to 3").contains("give --shards 3, or"));
        assert_eq!(Strata::deal(6, 1, 3, true).expect("dealt").parts(), [2..3, 3..4]);
        assert_eq!(Strata::deal(6, 1, 3, false).expect("dealt").parts(), vec![2..4]);
    }

    #[test]
    fn a_pass_has_every_image_once() {
        let strata = Strata::deal(4, 0, 1, false).expect("dealt");
        let (count, each) = (1003, 16);
        let batches = strata.len_of(0, count).div_ceil(each);
        assert_eq!(batches, count.div_ceil(4 * each));
        let all = |number| (0..4).map(|shard| strata.in_batch(shard, count, number, each)).sum::<usize>();
        assert_eq!((0..batches).map(all).sum::<usize>(), count);
        assert_eq!((all(0), all(batches - 1)), (64, 43));
    }
}
