//! Branches of affine layers on one input as one affine map: `W = sum_b W_b`, the identity among them in a residual block, or the
//! branches' outputs one behind the other, or the layers of a single branch in turn.
//!
//! All branches read the same x and a mask behind stands behind all of them, so bounds take the merged map (`|D_out (I + W) D_in|`, not a
//! norm for each branch), by its kernel or matrix where there is one ([`super::merged`]), else by the branches' products.

use super::affine::{Affine, Dense, Rounding, Structure};
use super::merged::{Shapes, merged};
use super::spec::Meeting;
use crate::compute::conv::{conv2d, conv2d_input};
use crate::compute::norms::channels::add_channels;
use crate::compute::norms::rows::row_norms;
use crate::compute::precision::{Precision, matmul};
use candle_core::{DType, Device, Result, Tensor, bail};
use std::rc::Rc;

/// A step of a branch: affine, or a rearrangement.
#[derive(Clone, Debug)]
pub enum Step {
    Affine(Rc<dyn Affine>),
    Reshape(Rc<dyn super::Reshape>),
}

/// One branch: its steps, each with the shape behind it. None is the identity.
pub type Steps = Vec<(Step, Vec<usize>)>;

/// Branches over inputs of one shape.
#[derive(Clone, Debug)]
pub struct Combined {
    pub branches: Vec<Steps>,
    pub meeting: Meeting,
    /// Is there a map whose numbers are statistics of a batch?
    pub asks_a_batch: bool,
    pub input: Vec<usize>,
    pub output: Vec<usize>,
    pub numbers: (DType, Device),
}

impl Combined {
    /// `[B, ...]` through each branch by `step`, and what they come to.
    fn through(&self, x: &Tensor, step: impl Fn(&dyn Affine, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let each = self.branches.iter().map(|branch| {
            branch.iter().try_fold(x.clone(), |x, (part, _)| match part {
                Step::Affine(map) => step(&**map, &x),
                Step::Reshape(r) => r.forward(&x),
            })
        });
        self.meeting.of(&each.collect::<Result<Vec<_>>>()?)
    }

    /// `W x` by the merged form, or by the branches' products.
    fn product(&self, whole: Option<&Dense>, x: &Tensor, precision: Precision) -> Result<Tensor> {
        match whole {
            Some(Dense::Convolution { weight, window, .. }) => conv2d(x, weight, window.computed_in(precision)),
            Some(Dense::Matrix { weight, .. }) => matmul(x, &weight.t()?, precision),
            Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => {
                self.through(x, |map, x| map.apply(x, precision))
            }
        }
    }

    fn with_bias(&self, whole: Option<&Dense>, y: &Tensor) -> Result<Tensor> {
        match whole {
            Some(Dense::Convolution { bias, .. } | Dense::Matrix { bias, .. }) => {
                bias.as_ref().map_or(Ok(y.clone()), |bias| add_channels(y, &bias.unsqueeze(0)?))
            }
            Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => {
                let (dtype, device) = &self.numbers;
                let zero = Tensor::zeros([&[1], self.input.as_slice()].concat(), *dtype, device)?;
                y.broadcast_add(&self.through(&zero, |map, x| map.forward(x, Precision::F32))?)
            }
        }
    }

    /// The merged form; a map without one is its branches' products, which say what went wrong if it cannot be made.
    fn whole(&self) -> Option<Dense> {
        let parts = self.branches.iter().map(|branch| match branch.as_slice() {
            [] => Some(None),
            // Weights that were rounded already would be so twice.
            [(Step::Affine(map), _)] if map.weight_roundings() == 0 => map.dense().map(Some),
            _ => None,
        });
        let parts = parts.collect::<Option<Vec<_>>>()?;
        let shapes = Shapes { input: &self.input, output: &self.output, numbers: &self.numbers };
        merged(&parts, self.meeting, shapes).ok().flatten()
    }

    /// The norms of each branch's rows, spread over its outputs `[1, ...]`: no more than `sum_j |W_ij| ||row j of what is before||`.
    fn rows_of(&self, branch: &Steps) -> Result<Tensor> {
        let (dtype, device) = &self.numbers;
        let mut rows: Option<Tensor> = None;
        for (part, behind) in branch {
            let shape = [&[1], behind.as_slice()].concat();
            rows = Some(match (part, rows) {
                (Step::Affine(map), None) => {
                    let mut spread = vec![1; shape.len()];
                    spread[1] = behind[0];
                    map.row_norms()?.reshape(spread)?.broadcast_as(shape)?.contiguous()?
                }
                (Step::Affine(map), Some(rows)) => map.apply_absolute(&rows, Precision::F32)?,
                (Step::Reshape(r), Some(rows)) => r.forward(&rows)?,
                (Step::Reshape(_), None) => Tensor::ones(shape, *dtype, device)?,
            });
        }
        match rows {
            Some(rows) => Ok(rows),
            None => Tensor::ones([&[1], self.input.as_slice()].concat(), *dtype, device),
        }
    }

    /// Channels (or features) behind each branch.
    fn channels(&self) -> Vec<usize> {
        self.branches.iter().map(|branch| branch.last().map_or(self.input[0], |(_, shape)| shape[0])).collect()
    }

    fn maps(&self) -> impl Iterator<Item = &Rc<dyn Affine>> {
        self.branches.iter().flatten().filter_map(|(part, _)| match part {
            Step::Affine(map) => Some(map),
            Step::Reshape(_) => None,
        })
    }

    /// The same with other maps in their places.
    fn with_maps(&self, mut other: impl FnMut(&Rc<dyn Affine>) -> Rc<dyn Affine>) -> Rc<dyn Affine> {
        let mut step = |(part, shape): &(Step, Vec<usize>)| {
            let part = match part {
                Step::Affine(map) => Step::Affine(other(map)),
                Step::Reshape(r) => Step::Reshape(r.clone()),
            };
            (part, shape.clone())
        };
        let branches = self.branches.iter().map(|branch| branch.iter().map(&mut step).collect()).collect();
        Rc::new(Self { branches, ..self.clone() })
    }
}

impl Affine for Combined {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        if let Some(own) = self.seen(x)? {
            return own.forward(x, precision);
        }
        // Merged once for both.
        let whole = self.whole();
        self.with_bias(whole.as_ref(), &self.product(whole.as_ref(), x, precision)?)
    }

    fn apply(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.product(self.whole().as_ref(), x, precision)
    }

    fn adjoint(&self, y: &Tensor, precision: Precision) -> Result<Tensor> {
        if let Some(Dense::Convolution { weight, window, .. }) = self.whole() {
            return conv2d_input(y, &weight, window.computed_in(precision), (self.input[1], self.input[2]));
        }
        let ends = self.meeting.apart(y, &self.channels())?;
        let each = self.branches.iter().zip(ends).map(|(branch, y)| {
            branch.iter().rev().try_fold(y, |y, (part, _)| match part {
                Step::Affine(map) => map.adjoint(&y, precision),
                Step::Reshape(r) => r.inverse(&y),
            })
        });
        Meeting::Sum.of(&each.collect::<Result<Vec<_>>>()?)
    }

    fn apply_absolute(&self, h: &Tensor, precision: Precision) -> Result<Tensor> {
        match self.whole() {
            Some(Dense::Convolution { weight, window, .. }) => conv2d(h, &weight.abs()?, window.computed_in(precision)),
            Some(Dense::Matrix { weight, .. }) => matmul(h, &weight.abs()?.t()?, precision),
            Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => {
                self.through(h, |map, h| map.apply_absolute(h, precision))
            }
        }
    }

    /// Of the merged kernel; else of the branches, no less.
    fn row_norms(&self) -> Result<Tensor> {
        if let Some(Dense::Convolution { weight, .. } | Dense::Matrix { weight, .. }) = self.whole() {
            return row_norms(&weight.flatten_from(1)?)?.unsqueeze(0);
        }
        let each = self.branches.iter().map(|branch| self.rows_of(branch)).collect::<Result<Vec<_>>>()?;
        self.meeting.of(&each)?.reshape((self.output[0], ()))?.max(1)?.unsqueeze(0)
    }

    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        self.with_bias(self.whole().as_ref(), y)
    }

    fn weight(&self) -> Option<&Tensor> {
        None
    }

    fn is_trained(&self) -> bool {
        self.maps().any(|map| map.is_trained())
    }

    /// Of all branches, an addition for each, and what rounds the merged weights.
    fn terms(&self) -> usize {
        let own = self.maps().map(|map| map.terms().saturating_add(map.weight_roundings()));
        own.fold(2 * self.branches.len(), usize::saturating_add).min(usize::MAX / 4)
    }

    fn weight_roundings(&self) -> usize {
        match self.meeting {
            Meeting::Sum => usize::from(self.whole().is_some()),
            Meeting::Concatenation => 0,
        }
    }

    fn rounding(&self) -> Result<Rounding> {
        bail!("affine: what branches add up to in f32 is not bounded so far; certify with arithmetic: \"exact\"")
    }

    fn dense(&self) -> Option<Dense> {
        self.whole()
    }

    /// That of the only map, where the rest only rearranges.
    fn structure(&self) -> Result<Option<Structure>> {
        let mut maps = self.maps();
        match (self.branches.len(), maps.next(), maps.next()) {
            (1, Some(map), None) => map.structure(),
            _ => Ok(None),
        }
    }

    fn numbers(&self) -> (DType, Device) {
        self.numbers.clone()
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        Self { asks_a_batch: false, ..self.clone() }.with_maps(|map| map.frozen())
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        let each = self.maps().map(|map| map.each_sample()).collect::<Result<Vec<_>>>()?;
        let Some(batch) = each.iter().flatten().map(Vec::len).next() else { return Ok(None) };
        let of = |b: usize| {
            let mut own = each.iter();
            self.with_maps(|map| match own.next() {
                Some(Some(maps)) => maps[b].clone(),
                Some(None) | None => map.clone(),
            })
        };
        Ok(Some((0..batch).map(of).collect()))
    }

    /// What in it asks a batch gets what the steps before make of it.
    fn seen(&self, x: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        if !self.asks_a_batch {
            return Ok(None);
        }
        let mut branches = vec![];
        for branch in &self.branches {
            let (mut at, mut steps) = (x.clone(), vec![]);
            for (part, shape) in branch {
                let (part, next) = match part {
                    Step::Affine(map) => {
                        let own = map.seen(&at)?.unwrap_or_else(|| map.clone());
                        let next = own.forward(&at, Precision::F32)?;
                        (Step::Affine(own), next)
                    }
                    Step::Reshape(r) => (Step::Reshape(r.clone()), r.forward(&at)?),
                };
                steps.push((part, shape.clone()));
                at = next;
            }
            branches.push(steps);
        }
        Ok(Some(Rc::new(Self { branches, asks_a_batch: false, ..self.clone() })))
    }
}

impl Meeting {
    /// Batches `[B, ...]` of the branches together.
    pub fn of(self, parts: &[Tensor]) -> Result<Tensor> {
        self.along(1, parts)
    }

    /// What of `[B, ...]` behind the branches is each branch's, which have so many channels: all of a sum.
    pub fn apart(self, y: &Tensor, channels: &[usize]) -> Result<Vec<Tensor>> {
        let mut from = 0;
        let part = |n: &usize| match self {
            Self::Sum => Ok(y.clone()),
            Self::Concatenation => {
                from += n;
                y.narrow(1, from - n, *n)?.contiguous()
            }
        };
        channels.iter().map(part).collect()
    }
}
