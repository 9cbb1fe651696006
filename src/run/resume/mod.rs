//! How a run goes on later: checkpoints between two batches, and a second run of the script that takes them up.

mod checkpoint;
mod checkpoints;
mod holder;
mod snapshot;
mod stage;
mod state;

pub use checkpoint::{Piece, end_stem, keep_only};
pub use checkpoints::{Checkpoints, latest};
pub use holder::Holder;
pub use snapshot::{Parts, PartsMut, put_back_inside};
pub use stage::{Asked, Entry, Resume, notes};
pub use state::Position;
