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
    /// The difference of logits ratio to another class: each restart has a climb for each of the likeliest ones, see
    /// [`AttackOptions::targets`].
    Ratio,
    /// The cross-entropy, then the ratio to each.
    CrossEntropyThenRatio,
}

/// What one climb climbs; classes by their rank among the others at the images, from 0 for the likeliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    CrossEntropy,
    Margin,
    To(usize),
    RatioTo(usize),
}

/// One climb of all that stand.
pub(super) struct Climb {
    /// The how manieth it is, from 0: random starts are named by it.
    pub number: usize,
    /// Does it begin where the attack does? Others begin at random points.
    pub first: bool,
    pub way: Way,
}

/// How long the steps are, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    Constant,
    /// Step t of n is (1 + cos(pi t / n)) / 2 of the first.
    Falling,
    /// Halved for each image where it gets no further, with momentum: APGD.
    Adaptive,
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
    /// To how many other classes the ratio leads, one after the other, from the likeliest on; at most all of them.
    pub targets: usize,
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
            targets: 9,
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

    /// Auto-PGD on an objective: without parameters, steps from 2 eps on.
    pub fn auto(epsilon: impl Into<Size>, objective: Objective) -> Self {
        let epsilon = epsilon.into();
        Self {
            steps: 100,
            step_size: epsilon.times(2.0),
            schedule: Schedule::Adaptive,
            objective,
            restarts: 1,
            ..Self::strong(epsilon)
        }
    }

    /// How many climbs make one restart of a network with so many classes.
    fn turns(&self, classes: usize) -> usize {
        let targets = self.targets.min(classes.saturating_sub(1));
        match self.objective {
            Objective::CrossEntropy | Objective::Margin | Objective::Targets => 1,
            Objective::Ratio => targets,
            Objective::CrossEntropyThenRatio => 1 + targets,
        }
    }

    /// All climbs, one after the other.
    pub(super) fn climbs(&self, classes: usize) -> impl ExactSizeIterator<Item = Climb> {
        let (turns, objective) = (self.turns(classes), self.objective);
        (0..self.restarts.saturating_mul(turns)).map(move |number| {
            let (restart, turn) = (number / turns, number % turns);
            let way = match objective {
                Objective::CrossEntropy => Way::CrossEntropy,
                Objective::Margin => Way::Margin,
                Objective::Targets => restart.checked_sub(1).map_or(Way::Margin, Way::To),
                Objective::Ratio => Way::RatioTo(turn),
                Objective::CrossEntropyThenRatio => turn.checked_sub(1).map_or(Way::CrossEntropy, Way::RatioTo),
            };
            Climb { number, first: restart == 0, way }
        })
    }
}
