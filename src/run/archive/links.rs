//! Links in a folder that lead out of it. A folder that somebody sent may hold some, and what is read or written through one, or run
//! from behind one, is none of its own.

use std::path::{Path, PathBuf};

/// An error if something in `folder` is a link that leads out of it.
pub fn refuse_links_out(folder: &Path) -> Result<(), String> {
    let Ok(root) = folder.canonicalize() else { return Ok(()) };
    let mut left = usize::MAX;
    match link_out(&root, std::slice::from_ref(&root), &mut left) {
        None => Ok(()),
        Some(link) => Err(format!(
            "{} is a link that leads out of the run's folder, so nothing is read or written there; put the file itself in its place",
            folder.join(link.strip_prefix(&root).unwrap_or(&link)).display()
        )),
    }
}

/// A link below `folder` that leads to none of `roots`; at most `left` entries are looked at.
pub fn link_out(folder: &Path, roots: &[PathBuf], left: &mut usize) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        *left = left.checked_sub(1)?;
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_symlink() {
            let inside = path.canonicalize().is_ok_and(|real| roots.iter().any(|root| real.starts_with(root)));
            if !inside {
                return Some(path);
            }
        } else if kind.is_dir()
            && let Some(found) = link_out(&path, roots, left)
        {
            return Some(found);
        }
    }
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_that_lead_out_are_found_wherever_they_lie() {
        let top = tempfile::tempdir().expect("a temporary folder");
        let run = top.path().join("run");
        std::fs::create_dir_all(run.join("a/b")).expect("made");
        std::fs::write(top.path().join("other"), "").expect("written");
        std::fs::write(run.join("own"), "").expect("written");
        symlink("../../own", run.join("a/b/inside")).expect("linked");
        assert_eq!(refuse_links_out(&run), Ok(()));
        for (link, target) in [("plots", "../"), ("a/b/x", "../../../other"), ("output.txt", "/nowhere")] {
            symlink(target, run.join(link)).expect("linked");
            assert!(refuse_links_out(&run).is_err_and(|why| why.contains(link)), "{link}");
            std::fs::remove_file(run.join(link)).expect("removed");
        }
    }
}
