//! One kernel or matrix for branches of one affine layer each: their sum, or one behind the other.
//!
//! ```text
//! tap d of branch b reads pixel s o + d - p_b:   kernel of side max_b (k_b + p - p_b), p = max_b p_b, branch b laid in at p - p_b
//! ```
//!
//! A sum has two summands, so that each weight is rounded once, relatively to itself; what stands one behind the other is not rounded.

use super::affine::Dense;
use super::spec::Meeting;
use crate::compute::conv::Window;
use crate::compute::region::weights::Prepared;
use candle_core::{DType, Device, Result, Tensor, bail};

/// Shapes of a sample before and behind the branches, and their numbers.
#[derive(Clone, Copy, Debug)]
pub struct Shapes<'a> {
    pub input: &'a [usize],
    pub output: &'a [usize],
    pub numbers: &'a (DType, Device),
}

/// What branches, each the identity or one affine map in its dense form, are together: if there is such a form.
pub fn merged(parts: &[Option<Dense>], meeting: Meeting, shapes: Shapes) -> Result<Option<Dense>> {
    if meeting == Meeting::Sum && parts.len() != 2 {
        return Ok(None);
    }
    match shapes.input {
        [_, h, w] => shapes.kernel(parts, meeting, (*h, *w)),
        [n] => shapes.matrix(parts, meeting, *n),
        _ => Ok(None),
    }
}

impl Shapes<'_> {
    fn eye(&self, n: usize) -> Result<Tensor> {
        Tensor::eye(n, self.numbers.0, &self.numbers.1)
    }

    fn matrix(&self, parts: &[Option<Dense>], meeting: Meeting, n: usize) -> Result<Option<Dense>> {
        let mut found = vec![];
        for part in parts {
            found.push(match part {
                None => (self.eye(n)?, None),
                Some(Dense::Matrix { weight, bias, .. }) => (weight.clone(), bias.clone()),
                Some(Dense::Convolution { .. } | Dense::EachChannel { .. } | Dense::Diagonal { .. }) => {
                    return Ok(None);
                }
            });
        }
        let biases = found.iter().map(|(weight, bias)| (bias.clone(), weight.dims()[0])).collect();
        let weights: Vec<_> = found.into_iter().map(|(weight, _)| weight).collect();
        Ok(Some(Dense::Matrix {
            weight: meeting.along(0, &weights)?,
            bias: self.bias(meeting, biases)?,
            prepared: Prepared::default(),
        }))
    }

    fn kernel(&self, parts: &[Option<Dense>], meeting: Meeting, (h, w): (usize, usize)) -> Result<Option<Dense>> {
        let channels = || self.eye(self.input[0])?.reshape((self.input[0], self.input[0], 1, 1));
        let mut found = vec![];
        for part in parts {
            found.push(match part {
                None => (channels()?, None, 1, 0),
                Some(Dense::Convolution { weight, bias, window, .. }) => {
                    (weight.clone(), bias.clone(), window.stride, window.padding)
                }
                Some(Dense::EachChannel { weight, window }) => {
                    (channels()?.broadcast_mul(weight)?, None, window.stride, window.padding)
                }
                Some(Dense::Matrix { .. } | Dense::Diagonal { .. }) => return Ok(None),
            });
        }
        let stride = found.first().map_or(1, |(_, _, stride, _)| *stride);
        let padding = found.iter().map(|(_, _, _, padding)| *padding).max().unwrap_or(0);
        let mut side = 0;
        for (weight, _, _, p) in &found {
            side = side.max(weight.dim(2)? + padding - p);
        }
        let window = Window::new(stride, padding);
        let fits = [(h, self.output[1]), (w, self.output[2])].iter().all(|(n, m)| window.output(*n, side) == Some(*m));
        if found.iter().any(|(_, _, other, _)| *other != stride) || !fits {
            return Ok(None);
        }
        let laid = |t: &Tensor, p: usize| -> Result<Tensor> {
            let (before, behind) = (padding - p, side - t.dim(2)? - (padding - p));
            t.pad_with_zeros(2, before, behind)?.pad_with_zeros(3, before, behind)
        };
        let weights = found.iter().map(|(weight, _, _, p)| laid(weight, *p)).collect::<Result<Vec<_>>>()?;
        let biases = found.iter().zip(&weights).map(|((_, bias, ..), weight)| (bias.clone(), weight.dims()[0]));
        let bias = self.bias(meeting, biases.collect())?;
        Ok(Some(Dense::Convolution {
            weight: meeting.along(0, &weights)?,
            bias,
            window,
            prepared: Prepared::default(),
        }))
    }

    /// Biases together, each with how many there are of it.
    fn bias(&self, meeting: Meeting, biases: Vec<(Option<Tensor>, usize)>) -> Result<Option<Tensor>> {
        if biases.iter().all(|(bias, _)| bias.is_none()) {
            return Ok(None);
        }
        let (dtype, device) = self.numbers;
        let each = biases.into_iter().filter_map(|(bias, n)| match (bias, meeting) {
            (Some(bias), _) => Some(Ok(bias)),
            (None, Meeting::Sum) => None,
            (None, Meeting::Concatenation) => Some(Tensor::zeros(n, *dtype, device)),
        });
        meeting.along(0, &each.collect::<Result<Vec<_>>>()?).map(Some)
    }
}

impl Meeting {
    /// What branches give together, their channels (or features) on this axis.
    pub fn along(self, axis: usize, parts: &[Tensor]) -> Result<Tensor> {
        let Some((first, others)) = parts.split_first() else { bail!("branches: there are none") };
        match self {
            Self::Sum => others.iter().try_fold(first.clone(), |sum, part| sum + part),
            Self::Concatenation => Tensor::cat(parts, axis),
        }
    }
}
