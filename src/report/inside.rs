//! Files of a run's folder that a page reads: the folder may be somebody else's, and a pipe in it would wait for a writer.

use std::path::{Component, Path};

/// Is it a file of at most so many bytes, and no link, device or pipe?
pub fn is_plain(path: &Path, most: u64) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.is_file() && about.len() <= most)
}

/// Is it a name of something below the folder, by its words alone? Names are from a file that somebody else may have written.
pub fn is_name(name: &Path) -> bool {
    name.components().all(|part| matches!(part, Component::Normal(_)))
}
