//! Runs that were: as they lie on the disk, packed into one file, and the commands that do them again.

pub mod commands;
pub(super) mod links;
pub mod pack;
pub mod stored_run;
