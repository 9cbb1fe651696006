//! The language: one Rhai engine and what it means here, where modules come from, names, limits, strict options, errors.

pub mod arithmetic;
pub mod callbacks;
pub mod changes;
pub mod collections;
mod divisor;
pub mod engine;
pub mod error;
pub mod guard;
pub mod habits;
pub mod kept;
pub mod lexical;
pub mod limits;
pub mod loader;
pub mod names;
pub mod options;
pub mod origin;
pub mod purity;
pub mod refused;
pub mod resolver;
pub mod signatures;
pub mod thrown;

pub use error::{Res, candle, fail};
pub use options::Options;
