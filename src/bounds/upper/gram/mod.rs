//! The Gram matrix of a masked layer, `A^T A` or `A A^T`, on the values that vary
//!
//! ```text
//! linear layer   dense                                         `linear`
//! convolution    block-banded, one block per image row         `conv`
//! ```
//!
//! Each entry of the result is a sum of at most `terms` products, in some order. `blocks` hands out either of them, block row by
//! block row.

mod blocks;
mod conv;
mod linear;
mod products;
mod side;

pub use blocks::Gram;
pub use side::Side;

pub(super) use products::{products, symmetrise};
