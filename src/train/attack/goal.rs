//! What a climb climbs: a number for each image, of its logits z and its label y
//!
//! ```text
//! cross-entropy    -log softmax(z)_y
//! margin           max_{j != y} z_j - z_y
//! to a class t     z_t - z_y
//! ratio to t       (z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2),  z_(1) >= z_(2) >= ... the logits in order
//! ```
//!
//! The difference of logits ratio is Croce & Hein's (2020). Logits times a number leave it as it is, and leave the margins their way:
//! unit gradients, and which of two points is higher. The cross-entropy's way they change. Where the label is strictly on top the
//! ratio's denominator is above 0; no constant stands there. Fewer than four classes have no z_(4): there the ratio is z_t - z_y.

use super::options::Way;
use crate::bounds::one_hot;
use crate::nn::Sequential;
use crate::train::losses::cross_entropies;
use candle_core::{DType, Result, Tensor};

pub enum Goal {
    CrossEntropy,
    Margin,
    /// The class that each is driven to, `[B]`.
    To(Tensor),
    RatioTo(Tensor),
}

impl Goal {
    /// Of a climb of the images `x`.
    pub fn new(way: Way, model: &Sequential, x: &Tensor, y: &Tensor) -> Result<Self> {
        Ok(match way {
            Way::CrossEntropy => Self::CrossEntropy,
            Way::Margin => Self::Margin,
            Way::To(rank) => Self::To(others(model, x, y, rank)?),
            Way::RatioTo(rank) => Self::RatioTo(others(model, x, y, rank)?),
        })
    }

    /// For the rows `kept`.
    pub fn take(&self, kept: &Tensor) -> Result<Self> {
        Ok(match self {
            Self::CrossEntropy => Self::CrossEntropy,
            Self::Margin => Self::Margin,
            Self::To(targets) => Self::To(targets.index_select(kept, 0)?),
            Self::RatioTo(targets) => Self::RatioTo(targets.index_select(kept, 0)?),
        })
    }

    /// Its values `[B]`, with their gradient.
    pub fn of(&self, logits: &Tensor, y: &Tensor) -> Result<Tensor> {
        match self {
            Self::CrossEntropy => cross_entropies(logits, y),
            Self::Margin => {
                let logits = logits.contiguous()?;
                // Below every number, whatever the logits' size. Not logits times a constant: infinite ones would become NaN.
                let lowest = Tensor::new(f64::NEG_INFINITY, logits.device())?.to_dtype(logits.dtype())?;
                let lowest = lowest.broadcast_as(logits.shape())?.contiguous()?;
                let others = one_hot(y, &logits)?.where_cond(&lowest, &logits)?;
                others.max_keepdim(1)?.squeeze(1)?.sub(&picked(&logits, y)?)
            }
            Self::To(targets) => picked(logits, targets)?.sub(&picked(logits, y)?),
            Self::RatioTo(targets) => {
                let gap = picked(logits, targets)?.sub(&picked(logits, y)?)?;
                if logits.dim(1)? < 4 {
                    return Ok(gap);
                }
                let ranked = ranked(logits)?;
                let at = |place: usize| -> Result<Tensor> {
                    let classes: Vec<u32> = ranked.iter().map(|order| order[place]).collect();
                    picked(logits, &Tensor::new(classes, logits.device())?)
                };
                gap.div(&(at(0)? - ((at(2)? + at(3)?)? * 0.5)?)?)
            }
        }
    }
}

/// The logit of one class of each sample, `[B]`.
fn picked(logits: &Tensor, classes: &Tensor) -> Result<Tensor> {
    logits.contiguous()?.gather(&classes.unsqueeze(1)?, 1)?.squeeze(1)
}

/// The classes of each sample, from the largest logit on.
fn ranked(logits: &Tensor) -> Result<Vec<Vec<u32>>> {
    let order = |logits: &Vec<f64>| {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        order
    };
    Ok(logits.detach().to_dtype(DType::F64)?.to_vec2::<f64>()?.iter().map(order).collect())
}

/// The class that comes at place `rank` when all but the label are ordered by their logits at the images, from the largest on.
fn others(model: &Sequential, x: &Tensor, y: &Tensor, rank: usize) -> Result<Tensor> {
    let labels = y.to_dtype(DType::U32)?.to_vec1::<u32>()?;
    let other = |(order, label): (Vec<u32>, &u32)| {
        let others: Vec<u32> = order.into_iter().filter(|class| class != label).collect();
        if others.is_empty() { *label } else { others[rank % others.len()] }
    };
    let targets: Vec<u32> = ranked(&model.forward(x)?)?.into_iter().zip(&labels).map(other).collect();
    Tensor::new(targets, y.device())
}
