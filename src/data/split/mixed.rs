//! Images of a second data set in the batches of a first: which of them stand behind its own in a batch.
//!
//! ```text
//! behind n images of the first, ratio r:   s(n) = round(r n) of the M of the second
//! batch b of pass p, in batches of size B: they begin at t = p S + b s(B), S the sum of s over the batches of a pass
//! at t:                                    number t mod M of the order that is drawn from the seed and the round t div M
//! ```
//!
//! So all M are seen before one is seen again, however many passes that takes; and what a batch holds follows from seed, pass and its
//! number alone. An image gets its augmentation for the round, in which it is seen once.

use super::in_memory::Split;
use crate::base::random::Generator;
use crate::data::error::{Error, Result};
use candle_core::{Device, Tensor};

/// What stands behind the images of the batches of one pass.
#[derive(Debug, Clone)]
pub(super) struct Mixed {
    split: Split,
    ratio: f64,
    /// Images of the first data set, behind whose numbers these count.
    before: u32,
    /// Behind a full batch.
    share: usize,
    /// Where the pass begins, t above.
    start: u128,
    /// The images of the pass, in their order.
    order: Vec<u32>,
    seed: u64,
    pass: u64,
}

/// How many stand behind `n` images.
fn share(ratio: f64, n: usize) -> usize {
    (ratio * n as f64).round() as usize
}

impl Mixed {
    /// For one pass over the first `used` images of its order in batches of `size`; nothing where nothing stands beside `split`. An
    /// error where a full batch would get none.
    pub fn of(split: &Split, size: usize, used: usize, (seed, pass): (u64, u64)) -> Result<Option<Self>> {
        let Some((other, ratio)) = split.beside() else { return Ok(None) };
        let size = size.min(split.len());
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
        let (start, m) = (u128::from(pass) * total as u128, other.len());
        let mut order = Vec::with_capacity(total);
        while order.len() < total {
            let (round, at) = at(start + order.len() as u128, m);
            let of_round = Generator::stream(seed, round).fork("order of images beside").permutation(m);
            order.extend(of_round[at..].iter().take(total - order.len()));
        }
        let before = split.len() as u32;
        Ok(Some(Self { split: other, ratio, before, share: own, start, order, seed, pass }))
    }

    /// The same for other batches of the same pass over `split`.
    pub fn again(&self, split: &Split, size: usize, used: usize) -> Result<Option<Self>> {
        Self::of(split, size, used, (self.seed, self.pass))
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
                let (round, at) = at(self.start + (first + draws.len()) as u128, self.split.len());
                let end = numbers.len().min(draws.len() + self.split.len() - at);
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
