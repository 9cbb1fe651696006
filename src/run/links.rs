//! Links in a run's folder. A folder that somebody sent may hold some that lead elsewhere, and what is written through one, or run
//! from behind one, is none of the run's own.

use std::path::{Path, PathBuf};

/// An error if something in `folder` is a link that leads out of it.
pub fn refuse_links_out(folder: &Path) -> Result<(), String> {
    let Ok(root) = folder.canonicalize() else { return Ok(()) };
    match link_out(&root, &root) {
        None => Ok(()),
        Some(link) => Err(format!(
            "{} is a link that leads out of the run's folder, so nothing is read or written there; put the file itself in its place",
            folder.join(link.strip_prefix(&root).unwrap_or(&link)).display()
        )),
    }
}

fn link_out(folder: &Path, root: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let (path, kind) = (entry.path(), entry.file_type().ok()?);
        if kind.is_symlink() {
            let inside = path.canonicalize().is_ok_and(|real| real.starts_with(root));
            return (!inside).then_some(path);
        }
        if kind.is_dir() { link_out(&path, root) } else { None }
    })
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
