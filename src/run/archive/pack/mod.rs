//! A run in one file, to be passed on: a zip archive of the run's folder without checkpoints and TensorBoard's files.
//!
//! ```text
//! pack.json                 what the file holds: every other entry with its size and SHA-256
//! run.json                  settings, seed, versions, data, results
//! source/, stdlib/          the script and every module it imported, as they were
//! metrics.*, weights, ...   the rest of the folder
//! ```
//!
//! Nothing in a pack is believed: `Pack::open` reads the list first, then holds every name, size and checksum against it, and
//! only then can anything be written. The same run makes the same bytes.

mod list;
mod read;
mod write;

pub use list::{EXTENSION, is_pack};
pub use read::Pack;
pub use write::pack;
