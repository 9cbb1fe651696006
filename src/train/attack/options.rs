//! How an attack goes: what it climbs, how long its steps are, where it begins.

use candle_core::{Result, Tensor, bail};

/// What an attack climbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    CrossEntropy,
    /// The largest other logit less the label's.
    Margin,
    /// The margin at first; each further restart the logit of one other class less the label's: the likeliest at x, the next, and
    /// so on in turn.
    Targets,
}

/// How long the steps are, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    Constant,
    /// Step t of n is (1 + cos(pi t / n)) / 2 of the first.
    Falling,
}

/// Where an attack begins. Restarts after the first begin at random points of the ball.
#[derive(Clone, Debug)]
pub enum Start {
    /// At x.
    Center,
    /// At a random point of the ball.
    Random,
    /// At given points, brought into the ball.
    Points(Tensor),
}

/// A length for every image, or one for each, in the units of the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    All(f64),
    Each(Vec<f64>),
}

impl From<f64> for Size {
    fn from(size: f64) -> Self {
        Self::All(size)
    }
}

impl Size {
    /// Every size times a number.
    pub fn times(&self, factor: f64) -> Self {
        match self {
            Self::All(size) => Self::All(size * factor),
            Self::Each(sizes) => Self::Each(sizes.iter().map(|size| size * factor).collect()),
        }
    }

    /// One for each of `batch` images, all finite and at least 0.
    pub(super) fn each(&self, what: &str, batch: usize) -> Result<Vec<f64>> {
        let sizes = match self {
            Self::All(size) => vec![*size; batch],
            Self::Each(sizes) => sizes.clone(),
        };
        if sizes.len() != batch {
            bail!("pgd: {what} has {} values for {batch} images; give one number, or one for each image", sizes.len());
        }
        match sizes.iter().find(|size| !(**size >= 0.0 && size.is_finite())) {
            Some(size) => bail!("pgd: {what} is {size}, it must be finite and at least 0"),
            None => Ok(sizes),
        }
    }
}

/// How to attack.
#[derive(Clone, Debug)]
pub struct AttackOptions {
    /// Radius of the ball.
    pub epsilon: Size,
    pub steps: usize,
    /// Length of the first step.
    pub step_size: Size,
    pub schedule: Schedule,
    pub objective: Objective,
    /// Below this norm of the gradient a step shrinks with it; 0 for steps that do not depend on it.
    pub least_slope: f64,
    pub start: Start,
    /// How often an image that still stands is attacked.
    pub restarts: usize,
    /// A stream for each image, which its random starts are drawn from; else one generator draws for the whole batch.
    pub streams: Option<Vec<u64>>,
    /// Keep images within [0, 1].
    pub clip: bool,
    /// Leave a sample as soon as it is misclassified, and return that point; otherwise return the last one.
    pub stop_early: bool,
}

impl AttackOptions {
    /// The attack of evaluations: independent of the logits' scale.
    pub fn strong(epsilon: impl Into<Size>) -> Self {
        let epsilon = epsilon.into();
        Self {
            steps: 50,
            step_size: epsilon.times(1.0),
            epsilon,
            schedule: Schedule::Falling,
            objective: Objective::Targets,
            least_slope: 0.0,
            start: Start::Random,
            restarts: 5,
            streams: None,
            clip: true,
            stop_early: true,
        }
    }

    /// The attack of published tables.
    pub fn published(epsilon: impl Into<Size>) -> Self {
        let epsilon = epsilon.into();
        Self {
            steps: 100,
            step_size: epsilon.times(0.25),
            schedule: Schedule::Constant,
            objective: Objective::CrossEntropy,
            least_slope: 1e-6,
            restarts: 1,
            ..Self::strong(epsilon)
        }
    }
}
