//! Who still stands: the images of a batch under attack, where they are, and where those that fell were last.
//!
//! A batch shrinks as its images fall, to the power of two above those that stand, filled up with some that fell: few sizes, since a
//! GPU plans its convolutions for each.

use super::options::{AttackOptions, Objective, Schedule};
use super::steps::{Balls, choose};
use crate::base::interrupt;
use crate::base::random::Generator;
use crate::bounds::{correct, margins, one_hot};
use crate::compute::autograd::backward;
use crate::nn::Sequential;
use crate::train::losses::cross_entropies;
use candle_core::{DType, Result, Tensor, Var};

pub struct Rows {
    balls: Balls,
    y: Tensor,
    /// The class that each is driven to, `[B]`; none for the largest other logit.
    targets: Option<Tensor>,
    /// Places in the batch.
    places: Vec<usize>,
    /// Which have not fallen.
    open: Vec<bool>,
    /// Where they fell, or else the best end of a restart so far, and the margins at these ends.
    found: Tensor,
    reached: Option<Tensor>,
    /// Who has left the batch: places and points.
    left: Vec<(Vec<usize>, Tensor)>,
}

impl Rows {
    pub fn new(x: &Tensor, y: &Tensor, options: &AttackOptions) -> Result<Self> {
        let (balls, batch) = (Balls::new(x, options)?, x.dim(0)?);
        let (found, y) = (balls.x.clone(), y.clone());
        Ok(Self {
            balls,
            y,
            targets: None,
            places: (0..batch).collect(),
            open: vec![true; batch],
            found,
            reached: None,
            left: vec![],
        })
    }

    pub fn all_fell(&self) -> bool {
        self.open.iter().all(|open| !open)
    }

    /// One climb of all that stand, from where restart number `restart` begins.
    pub fn climb(
        &mut self,
        model: &Sequential,
        options: &AttackOptions,
        restart: usize,
        random: &Generator,
    ) -> Result<()> {
        let mut point = self.balls.begin(&options.start, restart, random)?;
        self.targets = match options.objective {
            Objective::Targets if restart > 0 => Some(self.others(model, restart - 1)?),
            Objective::Targets | Objective::Margin | Objective::CrossEntropy => None,
        };
        for step in 0..=options.steps {
            interrupt::check()?;
            let at = Var::from_tensor(&point)?;
            let logits = model.forward(at.as_tensor())?;
            if options.stop_early {
                self.leave(&point, &logits)?;
                if self.all_fell() {
                    return Ok(());
                }
            }
            if step < options.steps {
                let climbed = match options.objective {
                    Objective::CrossEntropy => cross_entropies(&logits, &self.y)?,
                    Objective::Margin | Objective::Targets => rivals(&logits, &self.y, self.targets.as_ref())?,
                };
                // A constant network has no gradient, and no way.
                if let Some(g) = backward(&climbed)?.get(at.as_tensor()) {
                    let factor = match options.schedule {
                        Schedule::Constant => 1.0,
                        Schedule::Falling => {
                            0.5 + 0.5 * (std::f64::consts::PI * step as f64 / options.steps as f64).cos()
                        }
                    };
                    point = self.balls.step(&point, g, factor)?;
                }
            } else if options.restarts > 1 || !options.stop_early {
                self.end(&point, &logits)?;
            } else {
                self.found = choose(&self.mask(&self.open)?, &point, &self.found)?;
            }
            point = self.shrink(point)?;
        }
        Ok(())
    }

    /// The class that comes at place `rank` when all but the label are ordered by their logits at the images, from the largest on.
    fn others(&self, model: &Sequential, rank: usize) -> Result<Tensor> {
        let logits = model.forward(&self.balls.x)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let labels = self.y.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        let other = |logits: &Vec<f64>, label: &u32| {
            let mut order: Vec<u32> = (0..logits.len() as u32).filter(|class| class != label).collect();
            order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
            if order.is_empty() { *label } else { order[rank % order.len()] }
        };
        let targets: Vec<u32> = logits.iter().zip(&labels).map(|(logits, label)| other(logits, label)).collect();
        Tensor::new(targets, self.y.device())
    }

    /// Those that the network gets wrong at `point` stay there.
    fn leave(&mut self, point: &Tensor, logits: &Tensor) -> Result<()> {
        let right = correct(logits, &self.y)?.to_vec1::<u8>()?;
        let newly: Vec<bool> = self.open.iter().zip(&right).map(|(open, right)| *open && *right == 0).collect();
        if newly.contains(&true) {
            self.found = choose(&self.mask(&newly)?, point, &self.found)?;
            self.open.iter_mut().zip(newly).for_each(|(open, newly)| *open &= !newly);
        }
        Ok(())
    }

    /// The end of a restart: of all ends of an image, the one of the smallest margin is kept; one that is no number is none.
    fn end(&mut self, point: &Tensor, logits: &Tensor) -> Result<()> {
        let margin = margins(logits, &self.y)?;
        let open = self.mask(&self.open)?;
        let better = match &self.reached {
            None => open,
            // Not `margin < best`: behind a NaN anything is better.
            Some(best) => (margin.ge(best)?.eq(0u8)? * open)?,
        };
        self.found = choose(&better, point, &self.found)?;
        self.reached = Some(match &self.reached {
            None => margin,
            Some(best) => better.where_cond(&margin, best)?,
        });
        Ok(())
    }

    /// Let those that fell go, where that makes the batch smaller; the points of the others.
    fn shrink(&mut self, point: Tensor) -> Result<Tensor> {
        let size = self.open.iter().filter(|open| **open).count().next_power_of_two();
        if size >= self.open.len() || self.all_fell() {
            return Ok(point);
        }
        let mut spare = size - self.open.iter().filter(|open| **open).count();
        let mut stays = |i: &usize| {
            self.open[*i]
                || (spare > 0 && {
                    spare -= 1;
                    true
                })
        };
        let (stay, go): (Vec<usize>, Vec<usize>) = (0..self.open.len()).partition(|i| stays(i));
        let device = point.device();
        let rows = |list: &[usize]| Tensor::from_vec(list.iter().map(|i| *i as u32).collect(), list.len(), device);
        let places = |list: &[usize]| list.iter().map(|i| self.places[*i]).collect::<Vec<_>>();
        let (gone, kept) = (rows(&go)?, rows(&stay)?);
        self.left.push((places(&go), self.found.index_select(&gone, 0)?));
        self.places = places(&stay);
        self.open = stay.iter().map(|i| self.open[*i]).collect();
        self.balls = self.balls.take(&kept, &stay)?;
        self.y = self.y.index_select(&kept, 0)?;
        self.targets = self.targets.as_ref().map(|targets| targets.index_select(&kept, 0)).transpose()?;
        self.found = self.found.index_select(&kept, 0)?;
        self.reached = self.reached.as_ref().map(|reached| reached.index_select(&kept, 0)).transpose()?;
        point.index_select(&kept, 0)
    }

    /// Everybody's point, in the order of the batch.
    pub fn finish(mut self) -> Result<Tensor> {
        if self.left.is_empty() {
            return Ok(self.found);
        }
        self.left.push((self.places, self.found));
        let mut rows = vec![0u32; self.left.iter().map(|(places, _)| places.len()).sum()];
        for (row, place) in self.left.iter().flat_map(|(places, _)| places).enumerate() {
            rows[*place] = row as u32;
        }
        let points = Tensor::cat(&self.left.iter().map(|(_, points)| points).collect::<Vec<_>>(), 0)?;
        points.index_select(&Tensor::new(rows, points.device())?, 0)
    }

    fn mask(&self, rows: &[bool]) -> Result<Tensor> {
        Tensor::from_vec(rows.iter().map(|row| u8::from(*row)).collect(), rows.len(), self.found.device())
    }
}

/// The logit of the target, or else the largest other one, less the label's, `[B]`.
fn rivals(logits: &Tensor, y: &Tensor, targets: Option<&Tensor>) -> Result<Tensor> {
    let logits = logits.contiguous()?;
    let own = logits.gather(&y.unsqueeze(1)?, 1)?;
    if let Some(targets) = targets {
        return logits.gather(&targets.unsqueeze(1)?, 1)?.sub(&own)?.squeeze(1);
    }
    // Below every number, whatever the logits' size. Not logits times a constant: infinite ones would become NaN.
    let lowest = Tensor::new(f64::NEG_INFINITY, logits.device())?.to_dtype(logits.dtype())?;
    let others = one_hot(y, &logits)?.where_cond(&lowest.broadcast_as(logits.shape())?.contiguous()?, &logits)?;
    others.max_keepdim(1)?.sub(&own)?.squeeze(1)
}
