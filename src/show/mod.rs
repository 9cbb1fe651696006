//! How things look to a person: the screen's width and colours, distributions, curves and pictures drawn in text, plots in
//! files. Knows nothing of scripts.

mod axis;
pub mod curve;
pub mod distribution;
pub mod highlight;
mod marks;
pub mod picture;
pub mod plot;
pub mod screen;
mod shapes;
pub mod table;

pub use curve::{Series, curve};
pub use screen::{Screen, short};
pub use table::{clipped, table};
