//! The loop over epochs that is under way: where it stands, what was logged, whether the run can be cut in two inside it. Knows
//! neither the folder nor the screen.

mod metrics;
mod resumable;
mod state;
mod verdict;

pub use metrics::{Saved, Value, together};
pub use state::Training;
