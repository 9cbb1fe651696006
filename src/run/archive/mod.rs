//! Runs that were: as they lie on the disk, packed into one file, the points of a sweep, and the commands that do them again.

pub mod commands;
mod links;
pub mod outcome;
mod pack;
mod scripts;
mod stored_run;

pub use links::{link_out, refuse_links_out};
pub use pack::{EXTENSION, Pack, is_pack, pack};
pub use scripts::check_scripts;
pub use stored_run::{Line, StoredRun, compare, results};
