//! A run on several processes, as the command line begins and ends it.

mod join;
mod launcher;

pub(super) use join::{Joined, alone, join, refuse, wait_for_first};
pub(super) use launcher::start_processes;
