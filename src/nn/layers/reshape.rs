//! What a rearrangement says to bounds: the way there and back.

use candle_core::{Result, Tensor};
use std::fmt::Debug;

/// The same numbers in another arrangement. Values, boxes and masks go through alike, in any number type.
pub trait Reshape: Debug {
    /// `[B, input...]` to `[B, output...]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
    /// The way back, `[B, output...]` to `[B, input...]`.
    fn inverse(&self, y: &Tensor) -> Result<Tensor>;
    /// Do the numbers keep their order, so that another shape is all?
    fn keeps_order(&self) -> bool;
}
