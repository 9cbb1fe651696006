//! The sum of affine branches on one input, as one affine map: `W = sum_b W_b`, the identity among them in a residual block.
//!
//! Both branches read the same x and a mask behind stands behind the sum, so bounds take the merged map (`|D_out (I + W) D_in|`, not a norm
//! for each branch). Two convolutions of one stride have one kernel:
//!
//! ```text
//! tap d of branch b reads pixel s o + d - p_b:   kernel of side max_b (k_b + p - p_b), p = max_b p_b, branch b laid in at p - p_b
//! ```
//!
//! Two summands, so that each weight is rounded once, relatively to itself. Where there is no such kernel the map is its branches' products.

use super::affine::{Affine, Dense, Rounding};
use crate::compute::conv::{Window, conv2d, conv2d_input};
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
pub type Branch = Vec<(Step, Vec<usize>)>;

/// The sum of branches over inputs of one shape.
#[derive(Clone, Debug)]
pub struct Added {
    pub branches: Vec<Branch>,
    pub input: Vec<usize>,
    pub output: Vec<usize>,
    pub numbers: (DType, Device),
}

impl Added {
    /// `[B, ...]` through each branch by `step`, and the sum.
    fn sum(&self, x: &Tensor, step: impl Fn(&dyn Affine, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        self.over_branches(|branch| {
            branch.iter().try_fold(x.clone(), |x, (part, _)| match part {
                Step::Affine(map) => step(&**map, &x),
                Step::Reshape(r) => r.forward(&x),
            })
        })
    }

    /// What each branch gives, added up.
    fn over_branches(&self, one: impl Fn(&Branch) -> Result<Tensor>) -> Result<Tensor> {
        let Some((first, others)) = self.branches.split_first() else { bail!("a sum of no branches") };
        others.iter().try_fold(one(first)?, |sum, branch| sum + one(branch)?)
    }

    /// `W x` by the merged form, or by the branches' products.
    fn product(&self, whole: Option<&Dense>, x: &Tensor, precision: Precision) -> Result<Tensor> {
        match whole {
            Some(Dense::Convolution { weight, window, .. }) => conv2d(x, weight, window.computed_in(precision)),
            Some(Dense::Matrix { weight, .. }) => matmul(x, &weight.t()?, precision),
            Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => {
                self.sum(x, |map, x| map.apply(x, precision))
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
                y.broadcast_add(&self.sum(&zero, |map, x| map.forward(x, Precision::F32))?)
            }
        }
    }

    /// The kernel or matrix of the whole, where two summands have one.
    fn merged(&self) -> Result<Option<Dense>> {
        let mut parts = vec![];
        for branch in &self.branches {
            parts.push(match branch.as_slice() {
                [] => None,
                [(Step::Affine(map), _)] => match map.dense() {
                    // Its weights were rounded already.
                    Some(dense) if map.weight_roundings() == 0 => Some(dense),
                    _ => return Ok(None),
                },
                _ => return Ok(None),
            });
        }
        let [one, two] = parts.as_slice() else { return Ok(None) };
        match self.input.as_slice() {
            [_, h, w] => self.kernel([one, two], (*h, *w)),
            [n] => self.matrix([one, two], *n),
            _ => Ok(None),
        }
    }

    fn eye(&self, n: usize) -> Result<Tensor> {
        Tensor::eye(n, self.numbers.0, &self.numbers.1)
    }

    fn matrix(&self, parts: [&Option<Dense>; 2], n: usize) -> Result<Option<Dense>> {
        let mut found = vec![];
        for part in parts {
            found.push(match part {
                None => (self.eye(n)?, None),
                Some(Dense::Matrix { weight, bias }) => (weight.clone(), bias.clone()),
                Some(Dense::Convolution { .. } | Dense::EachChannel { .. } | Dense::Diagonal { .. }) => {
                    return Ok(None);
                }
            });
        }
        let [(a, of_a), (b, of_b)] = found.as_slice() else { return Ok(None) };
        Ok(Some(Dense::Matrix { weight: (a + b)?, bias: both(of_a, of_b)? }))
    }

    fn kernel(&self, parts: [&Option<Dense>; 2], (h, w): (usize, usize)) -> Result<Option<Dense>> {
        let mut found = vec![];
        for part in parts {
            found.push(match part {
                None => (self.eye(self.input[0])?.reshape((self.input[0], self.input[0], 1, 1))?, None, 1, 0),
                Some(Dense::Convolution { weight, bias, window }) => {
                    (weight.clone(), bias.clone(), window.stride, window.padding)
                }
                Some(Dense::EachChannel { weight, window }) => {
                    let channels = self.eye(self.input[0])?.reshape((self.input[0], self.input[0], 1, 1))?;
                    (channels.broadcast_mul(weight)?, None, window.stride, window.padding)
                }
                Some(Dense::Matrix { .. } | Dense::Diagonal { .. }) => return Ok(None),
            });
        }
        let [(a, of_a, stride, p_a), (b, of_b, other, p_b)] = found.as_slice() else { return Ok(None) };
        let padding = *p_a.max(p_b);
        let side = (a.dim(2)? + padding - p_a).max(b.dim(2)? + padding - p_b);
        let window = Window::new(*stride, padding);
        let fits = [(h, self.output[1]), (w, self.output[2])].iter().all(|(n, m)| window.output(*n, side) == Some(*m));
        if stride != other || !fits {
            return Ok(None);
        }
        let laid = |t: &Tensor, p: usize| -> Result<Tensor> {
            let (before, behind) = (padding - p, side - t.dim(2)? - (padding - p));
            t.pad_with_zeros(2, before, behind)?.pad_with_zeros(3, before, behind)
        };
        let weight = (laid(a, *p_a)? + laid(b, *p_b)?)?;
        Ok(Some(Dense::Convolution { weight, bias: both(of_a, of_b)?, window }))
    }

    /// The merged form; a map without one is its branches' products, which say what went wrong if it cannot be made.
    fn whole(&self) -> Option<Dense> {
        self.merged().ok().flatten()
    }
}

fn both(a: &Option<Tensor>, b: &Option<Tensor>) -> Result<Option<Tensor>> {
    match (a, b) {
        (Some(a), Some(b)) => (a + b).map(Some),
        (Some(one), None) | (None, Some(one)) => Ok(Some(one.clone())),
        (None, None) => Ok(None),
    }
}

impl Affine for Added {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
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
        self.over_branches(|branch| {
            branch.iter().rev().try_fold(y.clone(), |y, (part, _)| match part {
                Step::Affine(map) => map.adjoint(&y, precision),
                Step::Reshape(r) => r.inverse(&y),
            })
        })
    }

    fn apply_absolute(&self, h: &Tensor, precision: Precision) -> Result<Tensor> {
        match self.whole() {
            Some(Dense::Convolution { weight, window, .. }) => conv2d(h, &weight.abs()?, window.computed_in(precision)),
            Some(Dense::Matrix { weight, .. }) => matmul(h, &weight.abs()?.t()?, precision),
            Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => {
                self.sum(h, |map, h| map.apply_absolute(h, precision))
            }
        }
    }

    /// Of the merged kernel; else no more than `sum_j |W_ij| ||row j of what is before||`, branch by branch.
    fn row_norms(&self) -> Result<Tensor> {
        if let Some(Dense::Convolution { weight, .. } | Dense::Matrix { weight, .. }) = self.whole() {
            return row_norms(&weight.flatten_from(1)?)?.unsqueeze(0);
        }
        let (dtype, device) = &self.numbers;
        let mut sum = Tensor::zeros([&[1], self.output.as_slice()].concat(), *dtype, device)?;
        for branch in &self.branches {
            let mut rows: Option<Tensor> = None;
            for (part, behind) in branch {
                let shape = [&[1], behind.as_slice()].concat();
                rows = Some(match (part, rows) {
                    (Step::Affine(map), None) => {
                        let own = map.row_norms()?;
                        let mut spread = vec![1; shape.len()];
                        spread[1] = behind[0];
                        own.reshape(spread)?.broadcast_as(shape)?.contiguous()?
                    }
                    (Step::Affine(map), Some(rows)) => map.apply_absolute(&rows, Precision::F32)?,
                    (Step::Reshape(r), Some(rows)) => r.forward(&rows)?,
                    (Step::Reshape(_), None) => Tensor::ones(shape, *dtype, device)?,
                });
            }
            sum = match rows {
                Some(rows) => (sum + rows)?,
                None => (sum + 1.0)?,
            };
        }
        let channels = sum.reshape((self.output[0], ()))?;
        channels.max(1)?.unsqueeze(0)
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
        let own: usize = self.maps().map(|map| map.terms() + map.weight_roundings()).sum();
        own + 2 * self.branches.len()
    }

    fn weight_roundings(&self) -> usize {
        usize::from(self.whole().is_some())
    }

    fn rounding(&self) -> Result<Rounding> {
        bail!("affine: what a sum of branches adds in f32 is not bounded so far; certify with arithmetic: \"exact\"")
    }

    fn dense(&self) -> Option<Dense> {
        self.whole()
    }

    fn numbers(&self) -> (DType, Device) {
        self.numbers.clone()
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        let step = |(part, shape): &(Step, Vec<usize>)| {
            let part = match part {
                Step::Affine(map) => Step::Affine(map.frozen()),
                Step::Reshape(r) => Step::Reshape(r.clone()),
            };
            (part, shape.clone())
        };
        let branches = self.branches.iter().map(|branch| branch.iter().map(step).collect()).collect();
        Rc::new(Self { branches, ..self.clone() })
    }
}

impl Added {
    fn maps(&self) -> impl Iterator<Item = &Rc<dyn Affine>> {
        self.branches.iter().flatten().filter_map(|(part, _)| match part {
            Step::Affine(map) => Some(map),
            Step::Reshape(_) => None,
        })
    }
}
