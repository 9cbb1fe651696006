//! Gradients past candle's store: large tensors on a tape, values that are known with their gradients.

mod differentiable;
pub mod known;
pub mod tape;

pub use differentiable::{Gradients, differentiable};
