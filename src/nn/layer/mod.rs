//! One layer at its place in a network: its role with its parameters, its input and output shape.
//!
//! `place` makes it there, and makes it anew; `values` says what it makes of a batch and `through` what several do, `role` what bounds and kernels may ask of it.

mod place;
mod role;
mod through;
mod values;

pub use place::Layer;
pub use through::forward;
pub(crate) use values::one_of_a_batch;
