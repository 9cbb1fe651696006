//! Files of a run's folder that a page reads: the folder may be somebody else's, and a pipe in it would wait for a writer.

use std::path::Path;

/// Is it a file of at most so many bytes, and no link, device or pipe?
pub fn is_plain(path: &Path, most: u64) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.is_file() && about.len() <= most)
}
