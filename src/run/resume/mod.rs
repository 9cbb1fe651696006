//! How a run goes on later: checkpoints between two batches, and a second run of the script that takes them up.

mod checkpoint;
mod checkpoint_file;
mod holder;
mod schedule;
mod shards;
mod snapshot;
mod stage;
mod state;

pub use crate::run::resume::schedule::{Checkpoints, latest};
pub use checkpoint::{end_stem, keep_only};
pub use checkpoint_file::Piece;
pub use holder::Holder;
pub use shards::{ShardState, write as write_shard};
pub use snapshot::{Parts, PartsMut, put_back_inside};
pub use stage::{Asked, Entry, Resume, notes};
pub use state::Position;
