//! Gradients past candle's store: large tensors on a tape, values that are known with their gradients.

mod differentiable;
pub mod known;
mod prepared;
pub mod tape;

pub use differentiable::differentiable;
pub use prepared::Gradients;
