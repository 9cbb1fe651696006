//! What is in a run's folder. Knows nothing of the screen.

pub(super) mod arithmetic;
pub(super) mod best;
mod events;
pub(super) mod folder;
pub(super) mod git;
pub(super) mod lock;
pub(super) mod overhead;
pub(super) mod rows;
pub(super) mod run_json;
pub(super) mod writer;
