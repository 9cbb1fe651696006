//! How a run goes on later: checkpoints, and where it stands in going on.

pub(super) mod checkpoint;
pub(super) mod stage;
pub(super) mod state;
