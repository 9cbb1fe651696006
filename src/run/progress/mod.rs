//! What is on the screen while a run is under way. Knows nothing of files.

mod live;
mod pace;
mod place;
mod shown;

pub use live::Progress;
pub use place::Place;
