//! The products of a linear layer with a batch.

#[cfg(target_arch = "x86_64")]
pub mod direct;
mod product;
pub mod products;
pub mod strided;

pub use product::product;
pub use products::*;
