//! What an activation says to bounds: its Lipschitz constant, the box behind a box, what can vary, how an error spreads.

use candle_core::{Result, Tensor};
use std::fmt::Debug;
use std::rc::Rc;

/// A function that is not linear, over samples of the shape it was built for. Batches `[B, ...]` in and out.
pub trait Activation: Debug {
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
    /// How far each output can move when each input moves by at most `each` >= 0, wherever it is.
    fn spread(&self, each: &Tensor) -> Result<Tensor>;
    fn facts(&self) -> Facts;
    /// Its boxes, where they are not those of the ends. None of a monotone function: every output grows with every input, or stays.
    fn boxes(&self) -> Option<&dyn Boxes>;
    /// Where it is constant beyond a threshold, what bounds make of it.
    fn clipping(&self) -> Option<&dyn Clipping>;
    /// Linear lines over a box, where they are known, element by element.
    fn lines(&self) -> Option<&dyn Lines>;
    /// The same with parameters cut from the graph.
    fn frozen(&self) -> Rc<dyn Activation>;
    /// An optimiser has changed the parameters: what the function keeps beside them moves on.
    fn after_step(&self) -> Result<()> {
        Ok(())
    }
}

/// An activation that has linear lines over a box, element by element or pair by pair.
pub trait Lines {
    fn over(&self, lower: &Tensor, upper: &Tensor, choice: &Choice) -> Result<Relaxation>;
}

/// Which of several right slopes a line has: below, and above. Where a side has one right slope alone, nothing is chosen.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub lower: Slope,
    pub upper: Slope,
}

#[derive(Clone, Debug, Default)]
pub enum Slope {
    /// Of the two extreme ones that with the smaller area (CROWN).
    #[default]
    Adaptive,
    /// That of the other side's line (Fast-Lin, CAP).
    Same,
    /// The one next to 0.
    Zero,
    /// The one next to 1.
    One,
    /// So far between the flattest, 0, and the steepest, 1, `[B, ...]` (alpha-CROWN).
    Share(Tensor),
}

impl Choice {
    /// What is chosen for the first (0) or the second (1) half of the channels.
    pub fn half(&self, half: usize) -> Result<Self> {
        let own = |slope: &Slope| {
            Ok::<_, candle_core::Error>(match slope {
                Slope::Share(share) => Slope::Share(share.narrow(1, half * share.dim(1)? / 2, share.dim(1)? / 2)?),
                Slope::Adaptive | Slope::Same | Slope::Zero | Slope::One => slope.clone(),
            })
        };
        Ok(Self { lower: own(&self.lower)?, upper: own(&self.upper)? })
    }
}

/// Lines that the function keeps between all over a box: `lower_slope x + lower_offset <= f(x) <= upper_slope x + upper_offset`,
/// `[B, ...]` each. Of pairs there are slopes in the partner too, the same channel of the other half, below and above.
#[derive(Clone, Debug)]
pub struct Relaxation {
    pub lower_slope: Tensor,
    pub lower_offset: Tensor,
    pub upper_slope: Tensor,
    pub upper_offset: Tensor,
    pub partners: Option<[Tensor; 2]>,
}

impl Relaxation {
    /// The same, each tensor by `f`.
    pub fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let partners = match &self.partners {
            Some([low, high]) => Some([f(low)?, f(high)?]),
            None => None,
        };
        Ok(Self {
            lower_slope: f(&self.lower_slope)?,
            lower_offset: f(&self.lower_offset)?,
            upper_slope: f(&self.upper_slope)?,
            upper_offset: f(&self.upper_offset)?,
            partners,
        })
    }

    /// What the lines come to at points `[B, ...]`: below and above.
    pub fn at(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        let below = ((&self.lower_slope * x)? + &self.lower_offset)?;
        let above = ((&self.upper_slope * x)? + &self.upper_offset)?;
        match &self.partners {
            None => Ok([below, above]),
            Some([low, high]) => {
                let other = exchanged(x, 1)?;
                Ok([(below + (low * &other)?)?, (above + (high * &other)?)?])
            }
        }
    }
}

/// The two halves along an axis, the second before the first.
pub fn exchanged(x: &Tensor, axis: usize) -> Result<Tensor> {
    let half = x.dim(axis)? / 2;
    Tensor::cat(&[x.narrow(axis, half, half)?, x.narrow(axis, 0, half)?], axis)
}

/// What is known of an activation. Every field is said by every kind.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `||f(x) - f(y)|| <= lipschitz ||x - y||` for all x, y: a true upper bound.
    pub lipschitz: f64,
    /// Roundings between an input and an output, each of at most half a unit in the last place of the output: 0 where minima, maxima
    /// and changes of sign are all there is. `None` where nobody can say.
    pub roundings: Option<usize>,
    /// Are roundings relative to the sizes that inputs spread to, since sums of them may cancel?
    pub cancels: bool,
    /// Its thresholds: numbers that it compares with.
    pub thresholds: Vec<Tensor>,
    /// The function in a form that fused kernels take, if it has one.
    pub fused: Option<Fused>,
}

/// The boxes of an activation that is not monotone.
pub trait Boxes {
    /// Lower and upper end of a box that holds the images of the box from `lower` to `upper`.
    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]>;
}

/// The box behind a box.
pub fn image(f: &dyn Activation, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
    match f.boxes() {
        Some(boxes) => boxes.image(lower, upper),
        None => Ok([f.forward(lower)?, f.forward(upper)?]),
    }
}

/// An activation that is constant beyond a threshold.
pub trait Clipping {
    /// Where its mask is read.
    fn side(&self) -> Side;
    /// Which outputs can vary over a box that lies on that side: `[B, ...]` of u8. With a NaN in the box nothing is constant.
    fn varying(&self, lower: &Tensor, upper: &Tensor) -> Result<Tensor>;
    /// Where the function is its input and a constant all over a box before it, `[B, ...]` of u8, if it goes element by element with
    /// slopes from 0 to 1; none of a function of which that is not known.
    fn unclipped(&self, lower: &Tensor, upper: &Tensor) -> Option<Result<Tensor>>;
    /// How far a box on that side reaches over the thresholds (Eq. 12).
    fn excess(&self, lower: &Tensor, upper: &Tensor) -> Result<Excess>;
}

/// On which side of an activation its mask is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the box before it: the mask bears on the rows of the affine layer before, and on the columns of the next.
    Before,
    /// From the box behind it: the mask bears on the columns of the next affine layer only.
    Behind,
}

/// How far a box reaches over the thresholds of an activation, element by element, at least 0.
pub struct Excess {
    /// Over the lower one, where the value is constant below.
    pub below: Tensor,
    /// Under the upper one, where it is constant above.
    pub above: Option<Tensor>,
}

/// An activation in the form that fused kernels take.
#[derive(Clone, Debug)]
pub enum Fused {
    /// `max(min(x, threshold), 0)`, without a threshold `max(x, 0)`.
    Clip { threshold: Option<Tensor> },
    /// Maxima and minima of the two halves of the channels, cut at these thresholds (max, min).
    Sort { thresholds: Option<(Tensor, Tensor)> },
}

/// `not (a > b)` and the like of a mask of u8: with a NaN nothing may be called constant.
pub(super) fn not(mask: &Tensor) -> Result<Tensor> {
    mask.eq(0u8)
}
