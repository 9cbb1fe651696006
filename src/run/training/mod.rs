//! The loop over epochs that is under way, and what it came to so far.

pub(super) mod metrics;
pub(super) mod place;
pub(super) mod verdict;
