//! The host's types as scripts see them, and their values as numbers and pictures.

mod read;
mod types;

pub use read::{images, values};
pub use types::*;
