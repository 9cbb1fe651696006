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

/// An activation that goes element by element and has linear lines over a box.
pub trait Lines {
    fn over(&self, lower: &Tensor, upper: &Tensor) -> Result<Relaxation>;
}

/// Lines that the function keeps between all over a box: `lower_slope x + lower_offset <= f(x) <= upper_slope x + upper_offset`,
/// `[B, ...]` each.
#[derive(Clone, Debug)]
pub struct Relaxation {
    pub lower_slope: Tensor,
    pub lower_offset: Tensor,
    pub upper_slope: Tensor,
    pub upper_offset: Tensor,
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
