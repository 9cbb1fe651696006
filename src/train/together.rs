//! The gradient of a batch that is dealt out: what each part of it found, weighted and added
//!
//! ```text
//! g = sum over parts of (B_r / B) g_r      of a loss that is a mean over the batch: each part's mean, by its share of the images
//! g = sum over parts of g_r                of a loss that is a sum
//! ```
//!
//! That is right for uneven parts too, where a mean of means is not; and for terms without data, since the shares add up to 1. A
//! part without images counts for nothing, not 0 times what it found. Parts of one process come one after another and wait for each other;
//! those of several are added by [`Group::sum`], in the order of [`Counter`].

use crate::compute::collective::{Counter, Group, Slice};
use candle_core::{DType, Error, Result, Tensor, bail};

/// What a loss is over the images of its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    #[default]
    Mean,
    Sum,
}

/// The part of a batch that a step is for, and who has the others.
#[derive(Clone, Copy, Debug)]
pub struct Dealt<'a> {
    pub group: &'a Group,
    pub slice: Slice,
    pub over: Over,
}

/// Gradients of parts of a batch, on their way to one step.
#[derive(Debug, Default)]
pub struct Together {
    waiting: Counter<Tensor>,
    /// Which parameters any of them has found a gradient of.
    found: Vec<bool>,
    /// Of which batch they are, and which part came last.
    under_way: Option<(usize, usize)>,
}

impl Together {
    /// Another part's gradients, of parameters shaped like `like`; nothing of one on which the loss does not depend. The batch's gradients
    /// once all parts are there, the same on all processes.
    pub fn add(
        &mut self,
        part: &Dealt,
        like: &[&Tensor],
        found: &[Option<Tensor>],
    ) -> Result<Option<Vec<Option<Tensor>>>> {
        let Dealt { group, slice, over } = part;
        // A pass that was left in the middle of a batch has left its parts behind.
        if slice.lane == 0
            && self.under_way.is_some_and(|(number, _)| ![slice.number, slice.number.wrapping_sub(1)].contains(&number))
        {
            *self = Self::default();
        }
        let wanted = self.under_way.map_or((slice.number, 0), |(number, lane)| (number, lane + 1));
        if wanted != (slice.number, slice.lane) {
            bail!(
                "step: part {} of batch {} comes where part {} of batch {} is wanted: with parts one after another (--by-shard) an optimiser takes \
                 one step in each part",
                slice.lane + 1,
                slice.number + 1,
                wanted.1 + 1,
                wanted.0 + 1
            );
        }
        self.under_way = Some((slice.number, slice.lane));
        let share = match over {
            Over::Mean => slice.share(),
            Over::Sum => 1.0,
        };
        let is_stand_in = slice.own == 0;
        self.found.resize(like.len(), false);
        self.found.iter_mut().zip(found).for_each(|(all, g)| *all |= g.is_some());
        self.waiting.add(flat(like, found, share, is_stand_in)?, |a, b| a + b)?;
        if !slice.last {
            return Ok(None);
        }
        self.under_way = None;
        let mut there = std::mem::take(&mut self.found);
        let Some(own) = self.waiting.take(|a, b| a + b)? else { return Ok(None) };
        if !group.is_alone() {
            same_step(group, slice.number, &mut there)?;
        }
        split(&group.sum_of(&own)?, like, &there).map(Some)
    }
}

/// All gradients in a row, weighted.
fn flat(like: &[&Tensor], found: &[Option<Tensor>], share: f64, is_stand_in: bool) -> Result<Tensor> {
    let dtype = if like.iter().any(|p| p.dtype() == DType::F64) { DType::F64 } else { DType::F32 };
    let Some(device) = like.first().map(|p| p.device()) else { bail!("step: there are no parameters") };
    let mut rows = vec![];
    for (p, g) in like.iter().zip(found) {
        rows.push(match g.as_ref().filter(|_| !is_stand_in) {
            Some(g) => (g.detach().to_dtype(dtype)?.flatten_all()? * share)?,
            None => Tensor::zeros(p.elem_count(), dtype, device)?,
        });
    }
    Tensor::cat(&rows, 0)
}

/// All processes take a step, in the same batch; `there` says which parameters any of them has a gradient of. By numbers on the host: nobody
/// waits for a GPU.
fn same_step(group: &Group, number: usize, there: &mut [bool]) -> Result<()> {
    // FNV-1a, in 32 bits, which a float holds.
    let hash = there.iter().fold(0x811c_9dc5_u32, |h, found| (h ^ u32::from(*found)).wrapping_mul(0x0100_0193));
    let own = [number as f64, f64::from(hash)];
    let found = group.largest(&[own[0], -own[0], own[1], -own[1]]).map_err(Error::Msg)?;
    let agree = |at: usize| found[at].to_bits() == (-found[at + 1]).to_bits();
    if !agree(0) {
        bail!(
            "step: this process takes a step in batch {}, and others take one in another batch: the script does not do the same on all processes; \
             let no condition on a process's own numbers stand around `step`",
            number + 1
        );
    }
    if !agree(2) {
        for other in group.of_all(there.to_vec()).map_err(Error::Msg)? {
            there.iter_mut().zip(other).for_each(|(all, found)| *all |= found);
        }
    }
    Ok(())
}

/// The gradients in their shapes; nothing of those that nobody has found.
fn split(all: &Tensor, like: &[&Tensor], there: &[bool]) -> Result<Vec<Option<Tensor>>> {
    let (mut at, mut own) = (0, vec![]);
    for (p, found) in like.iter().zip(there) {
        let count = p.elem_count();
        let g = if *found { Some(all.narrow(0, at, count)?.reshape(p.shape())?.to_dtype(p.dtype())?) } else { None };
        own.push(g);
        at += count;
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn slice(own: usize, all: usize, lane: usize, last: bool) -> Slice {
        Slice { own, all, shard: lane, lane, last, number: 3 }
    }

    #[test]
    fn parts_of_a_batch_are_its_mean_whatever_their_sizes() {
        let (group, cpu) = (Group::default(), Device::Cpu);
        let like = [Tensor::zeros((2, 2), DType::F64, &cpu).unwrap(), Tensor::zeros(3, DType::F64, &cpu).unwrap()];
        let like: Vec<&Tensor> = like.iter().collect();
        // Means of 3, of 1 and of no images.
        let g = |x: f64| Some(Tensor::full(x, (2, 2), &cpu).unwrap());
        let mut together = Together::default();
        let mut add = |own, lane, last, found: Option<Tensor>, over| {
            let part = Dealt { group: &group, slice: slice(own, 4, lane, last), over };
            together.add(&part, &like, &[found, None]).unwrap()
        };
        assert!(add(3, 0, false, g(2.0), Over::Mean).is_none());
        assert!(add(1, 1, false, g(6.0), Over::Mean).is_none());
        let all = add(0, 2, true, g(f64::NAN), Over::Mean).expect("the batch's gradients");
        assert_eq!(all[0].as_ref().unwrap().to_vec2::<f64>().unwrap(), [[3.0, 3.0], [3.0, 3.0]]);
        assert!(all[1].is_none(), "nobody has found it");
        assert!(add(3, 0, false, g(2.0), Over::Sum).is_none());
        let all = add(1, 1, true, g(6.0), Over::Sum).expect("the batch's gradients");
        assert_eq!(all[0].as_ref().unwrap().to_vec2::<f64>().unwrap(), [[8.0, 8.0], [8.0, 8.0]]);
    }

    #[test]
    fn a_batch_that_was_left_in_the_middle_is_told() {
        let (group, p) = (Group::default(), Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap());
        let mut together = Together::default();
        let dealt = |number, last| Dealt {
            group: &group,
            slice: Slice { number, last, ..slice(1, 2, 0, false) },
            over: Over::Mean,
        };
        assert!(together.add(&dealt(0, false), &[&p], &[Some(p.clone())]).unwrap().is_none());
        let error = together.add(&dealt(1, false), &[&p], &[Some(p.clone())]).unwrap_err();
        assert!(error.to_string().contains("part 1 of batch 2 comes where part 2 of batch 1 is wanted"), "{error}");
        // Twice in one part; and a pass that was left, after which another begins.
        let (mut together, first) = (Together::default(), dealt(4, false));
        assert!(together.add(&first, &[&p], &[Some(p.clone())]).unwrap().is_none());
        assert!(together.add(&first, &[&p], &[Some(p.clone())]).is_err());
        assert!(together.add(&dealt(0, true), &[&p], &[Some(p.clone())]).unwrap().is_some());
    }
}
