//! Some of a split's images, and the images of a second data set beside them.

use super::contents::{Beside, Split};
use crate::data::error::{Error, Result};
use std::sync::Arc;

impl Split {
    /// The first `n` images, or all if there are fewer; see [`Split::range`] for a strict form. Nothing stands beside a part of a split.
    pub fn take(&self, n: usize) -> Self {
        Self { len: self.len.min(n), beside: None, ..self.clone() }
    }

    /// The images `start..end`; an empty range or one that goes past the end is an error.
    pub fn range(&self, start: usize, end: usize) -> Result<Self> {
        if start >= end || end > self.len {
            return Err(Error::Range { split: self.name().into(), start, end, len: self.len });
        }
        Ok(Self { start: self.start + start, len: end - start, beside: None, ..self.clone() })
    }

    /// The images at `indices`, which have been checked, in that order.
    pub(in crate::data) fn select(&self, indices: &[u32]) -> Self {
        let places: Arc<[u32]> = indices.iter().map(|&i| self.place(i) as u32).collect();
        Self { start: 0, len: places.len(), places: Some(places), beside: None, ..self.clone() }
    }

    /// With `split` beside it, of which `ratio` images come to each of its own in shuffled batches. All of it has been checked.
    pub(in crate::data) fn and_beside(self, split: Self, ratio: f64) -> Self {
        Self { beside: Some(Arc::new(Beside { split, ratio })), ..self }
    }

    /// What stands beside it, made into batches as its own images are: of its dtype, with its augmentation; and how many come to each.
    pub(in crate::data) fn beside(&self) -> Option<(Self, f64)> {
        let Beside { split, ratio } = &**self.beside.as_ref()?;
        let (dtype, device, seed, augmentation) = (self.dtype, self.device.clone(), self.seed, self.augmentation);
        Some((Self { dtype, device, seed, augmentation, ..split.clone() }, *ratio))
    }

    /// The numbers that images of its batches can have: its own, and behind them those of what stands beside it.
    pub fn places(&self) -> usize {
        self.len + self.beside.as_ref().map_or(0, |beside| beside.split.len)
    }
}
