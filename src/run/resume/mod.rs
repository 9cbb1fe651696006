//! How a run goes on later: checkpoints between two batches, and a second run of the script that takes them up.

mod checkpoint;
mod holder;
mod schedule;
mod snapshot;
mod stage;
mod state;

pub use crate::run::resume::schedule::{Checkpoints, latest};
pub use checkpoint::{Piece, end_stem, keep_only};
pub use holder::Holder;
pub use snapshot::{Parts, PartsMut, put_back_inside};
pub use stage::{Asked, Entry, Resume, notes};
pub use state::Position;
