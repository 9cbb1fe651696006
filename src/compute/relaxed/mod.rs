//! Coefficients of linear bounds through the lines of an activation, and functions of such coefficients.

mod bent;
mod concretised;
mod cpu;
mod gpu;
mod held;
mod significant;
mod through;

pub use bent::bent;
pub use concretised::{Over, concretised};
pub use through::{Given, through};
