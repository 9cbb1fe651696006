//! Auto-PGD in l2: steps that adapt to the image, with momentum
//!
//! ```text
//! z         = P(x_k + eta g / ||g||),  g the gradient of the objective f at x_k
//! x_{k+1}   = P(x_k + 0.75 (z - x_k) + 0.25 (x_k - x_{k-1})),  x_1 = z      P: cut to [0, 1], into the ball, cut again
//! eta       = 2 eps at first; at a checkpoint w_j it is halved, and x_k is the best point so far, where
//!             1  f has risen in fewer than 0.75 (w_j - w_{j-1}) of the steps since the last checkpoint, or
//!             2  eta was not halved at the last one, and the best f is what it was there
//! w_j       = ceil(p_j n) of n steps;  p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)
//! ```
//!
//! Croce & Hein (2020), Algorithm 1. Nothing is to be chosen but n. The end is the best point by f, whose value never falls. A value that
//! is NaN is below all others: the image goes on from its best point at the next checkpoint. Where no gradient is finite only momentum
//! moves. Each image has its own eta and its own best point, so it does not depend on who shares the batch.
//!
//! Of a random start the paper says nothing in l2; as in all attacks here it is uniform in the ball.

use super::steps::{Balls, choose, mask};
use candle_core::{DType, Device, Result, Tensor};

/// The share of the last step that is added.
const MOMENTUM: f64 = 0.25;
/// The share of steps that have to rise.
const RISING: f64 = 0.75;

/// Where the climb of a batch stands.
#[derive(Clone)]
pub struct Search {
    /// Those that are to come, the next one last.
    checkpoints: Vec<usize>,
    /// The last checkpoint, and steps done.
    passed: usize,
    step: usize,
    rows: Vec<Row>,
    /// The points before, the best so far, and the gradients there.
    before: Option<Tensor>,
    best: Tensor,
    slope: Tensor,
}

/// Of one image.
#[derive(Clone)]
struct Row {
    /// The step's share of the first.
    factor: f64,
    /// The objective where the last step began, and at its best; at its best at the last checkpoint.
    last: f64,
    best: f64,
    best_there: f64,
    /// Steps since the last checkpoint that rose.
    rises: usize,
    /// Was the step halved there?
    halved: bool,
}

impl Search {
    /// Of so many steps, from `point`.
    pub fn new(steps: usize, point: &Tensor) -> Result<Self> {
        let low = f64::NEG_INFINITY;
        let row = Row { factor: 1.0, last: low, best: low, best_there: low, rises: 0, halved: false };
        Ok(Self {
            checkpoints: checkpoints(steps),
            passed: 0,
            step: 0,
            rows: vec![row; point.dim(0)?],
            before: None,
            best: point.clone(),
            slope: point.zeros_like()?,
        })
    }

    /// For the rows `kept`, at these places.
    pub fn take(&self, kept: &Tensor, places: &[usize]) -> Result<Self> {
        Ok(Self {
            checkpoints: self.checkpoints.clone(),
            rows: places.iter().map(|i| self.rows[*i].clone()).collect(),
            before: self.before.as_ref().map(|before| before.index_select(kept, 0)).transpose()?,
            best: self.best.index_select(kept, 0)?,
            slope: self.slope.index_select(kept, 0)?,
            ..*self
        })
    }

    /// The points after a step from `point`, where the objective is `climbed` `[B]` and its gradient `g`.
    pub fn step(&mut self, balls: &Balls, point: &Tensor, g: &Tensor, climbed: &Tensor) -> Result<Tensor> {
        let better = self.note(climbed)?;
        self.best = choose(&better, point, &self.best)?;
        self.slope = choose(&better, g, &self.slope)?;
        let (mut point, mut g) = (point.clone(), g.clone());
        if self.checkpoints.last() == Some(&self.step) {
            let back = self.check(point.device())?;
            point = choose(&back, &self.best, &point)?;
            g = choose(&back, &self.slope, &g)?;
        }
        let factors: Vec<f64> = self.rows.iter().map(|row| row.factor).collect();
        let factors = Tensor::from_vec(factors, self.rows.len(), balls.steps.device())?;
        let mut next = balls.step(&point, &g, (&balls.steps * factors)?)?;
        if let Some(before) = &self.before {
            let way = (((next - &point)? * (1.0 - MOMENTUM))? + ((&point - before)? * MOMENTUM)?)?;
            next = balls.held(&(&point + way)?)?;
        }
        self.before = Some(point);
        self.step += 1;
        Ok(next)
    }

    /// The best points, the last ones among them, where the objective is `climbed`.
    pub fn best(&mut self, last: &Tensor, climbed: &Tensor) -> Result<Tensor> {
        choose(&self.note(climbed)?, last, &self.best)
    }

    /// The objective at the points where the steps have come to; `[B]` of u8: which are the best so far.
    fn note(&mut self, climbed: &Tensor) -> Result<Tensor> {
        let values = climbed.detach().to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let first = self.step == 0;
        let better = self.rows.iter_mut().zip(values).map(|(row, value)| {
            let value = if value.is_nan() { f64::NEG_INFINITY } else { value };
            row.rises += usize::from(!first && value > row.last);
            row.last = value;
            let better = value > row.best;
            row.best = row.best.max(value);
            if first {
                row.best_there = value;
            }
            better
        });
        mask(&better.collect::<Vec<_>>(), climbed.device())
    }

    /// At a checkpoint; `[B]` of u8: which go on from their best points, with steps of half the length.
    fn check(&mut self, device: &Device) -> Result<Tensor> {
        let span = self.step - self.passed;
        let back = self.rows.iter_mut().map(|row| {
            let back = (row.rises as f64) < RISING * span as f64 || (!row.halved && row.best <= row.best_there);
            if back {
                row.factor *= 0.5;
                row.last = row.best;
            }
            row.rises = 0;
            row.halved = back;
            row.best_there = row.best;
            back
        });
        let back = mask(&back.collect::<Vec<_>>(), device);
        self.passed = self.step;
        self.checkpoints.pop();
        back
    }
}

/// After how many of `steps` steps it is asked whether they get further, from the last on. In hundredths of them, exactly.
fn checkpoints(steps: usize) -> Vec<usize> {
    let (mut share, mut gap, mut found) = (22, 22, vec![]);
    while share < 100 {
        let place = steps / 100 * share + (steps % 100 * share).div_ceil(100);
        if place < steps && found.last() != Some(&place) {
            found.push(place);
        }
        gap = (gap - 3).max(6);
        share += gap;
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_come_closer() {
        assert_eq!(checkpoints(100), [99, 93, 87, 80, 70, 57, 41, 22]);
        assert_eq!(checkpoints(10), [9, 8, 7, 6, 5, 3]);
        assert_eq!(checkpoints(2), [1]);
        assert_eq!(checkpoints(1), [0usize; 0]);
    }
}
