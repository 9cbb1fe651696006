//! Who still stands: the images of a batch under attack, where they are, and where those that fell were last.
//!
//! A batch shrinks as its images fall, to the power of two above those that stand, filled up with some that fell: few sizes, since a
//! GPU plans its convolutions for each.

use super::apgd::Search;
use super::goal::Goal;
use super::options::{AttackOptions, Climb, Schedule};
use super::steps::{Balls, choose, mask};
use crate::base::interrupt;
use crate::base::random::Generator;
use crate::bounds::{correct, margins};
use crate::compute::autograd::backward;
use crate::nn::Sequential;
use candle_core::{Result, Tensor, Var};

pub struct Rows {
    balls: Balls,
    y: Tensor,
    /// What this climb climbs, and how far it has come where its steps adapt.
    goal: Goal,
    search: Option<Search>,
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
            goal: Goal::Margin,
            search: None,
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

    /// One climb of all that stand. `alone`: is it the only one?
    pub fn climb(
        &mut self,
        model: &Sequential,
        options: &AttackOptions,
        climb: &Climb,
        alone: bool,
        random: &Generator,
    ) -> Result<()> {
        let mut point = self.balls.begin(climb, random)?;
        self.goal = Goal::new(climb.way, model, &self.balls.x, &self.y)?;
        self.search = match options.schedule {
            Schedule::Adaptive => Some(Search::new(options.steps, &point)?),
            Schedule::Constant | Schedule::Falling => None,
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
                point = self.step(&at, &logits, options, step)?;
            } else {
                let (end, logits) = match &mut self.search {
                    None => (point.clone(), logits),
                    Some(search) => {
                        let best = search.best(&point, &self.goal.of(&logits, &self.y)?)?;
                        (best.clone(), model.forward(&best)?)
                    }
                };
                if !alone || !options.stop_early {
                    self.end(&end, &logits)?;
                } else {
                    self.found = choose(&self.mask(&self.open)?, &end, &self.found)?;
                }
            }
            point = self.shrink(point)?;
        }
        Ok(())
    }

    /// The points after the step number `step` from `at`.
    fn step(&mut self, at: &Var, logits: &Tensor, options: &AttackOptions, step: usize) -> Result<Tensor> {
        let point = at.as_detached_tensor();
        let climbed = self.goal.of(logits, &self.y)?;
        let slopes = backward(&climbed)?;
        let factor = match options.schedule {
            Schedule::Constant | Schedule::Adaptive => 1.0,
            Schedule::Falling => 0.5 + 0.5 * (std::f64::consts::PI * step as f64 / options.steps as f64).cos(),
        };
        match (slopes.get(at.as_tensor()), &mut self.search) {
            // A constant network has no gradient, and no way.
            (None, _) => Ok(point),
            (Some(g), None) => self.balls.step(&point, g, (&self.balls.steps * factor)?),
            (Some(g), Some(search)) => search.step(&self.balls, &point, g, &climbed),
        }
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
        self.goal = self.goal.take(&kept)?;
        self.search = self.search.as_ref().map(|search| search.take(&kept, &stay)).transpose()?;
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
        mask(rows, self.found.device())
    }
}
