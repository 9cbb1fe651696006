//! Gradients past candle's store: a graph of our own between parameters and loss, beside candle's.

mod arithmetic;
mod arrived;
mod backward;
mod gateway;
mod node;
mod operation;
mod seed;
mod taken;
pub mod tape;
mod walk;

pub use arithmetic::{add, mul, reshaped, scaled, sub};
pub use arrived::{Arrived, Arriving};
pub use backward::backward;
pub use node::{Argument, Node, Work, same_numbers};
pub use operation::{Of, differentiable, value_of, with_gradient};
pub use walk::Gradients;
