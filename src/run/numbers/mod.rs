//! Numbers as a person reads them: what a name says of its values, durations, tables on the screen and in files.

mod csv;
mod duration;
pub mod names;
mod table;

pub use csv::csv;
pub use duration::{duration, time};
pub use table::table;
