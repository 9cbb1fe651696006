//! The revision of the repository that a folder is in: from `git` where it is installed, else from the files in `.git`.

use super::run_json::Git;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is known about the repository around `folder`, if there is one.
pub fn state(folder: &Path) -> Option<Git> {
    let ask = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        // A status must not wait for, or take, the repository's lock.
        command.env("GIT_OPTIONAL_LOCKS", "0");
        let output = command.output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    if let Some(revision) = ask(&["rev-parse", "HEAD"]) {
        let dirty = ask(&["status", "--porcelain", "--untracked-files=no"]).map(|changes| !changes.is_empty());
        return Some(Git { revision, dirty });
    }
    let git = folder.canonicalize().ok()?.ancestors().map(|a| a.join(".git")).find(|g| g.exists())?;
    let revision = from_files(&git)?;
    Some(Git { revision, dirty: None })
}

fn from_files(git: &Path) -> Option<String> {
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().to_string()) };
    if let Ok(revision) = std::fs::read_to_string(git.join(name)) {
        return Some(revision.trim().to_string());
    }
    let packed = std::fs::read_to_string(git.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| line.strip_suffix(name)?.split_whitespace().next().map(str::to_string))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_revision_is_found_without_git() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        write("HEAD", "ref: refs/heads/main\n");
        write("packed-refs", "# pack-refs with: peeled\n0123abcd refs/heads/main\n");
        assert_eq!(super::from_files(folder.path()).as_deref(), Some("0123abcd"));
        write("HEAD", "4567\n");
        assert_eq!(super::from_files(folder.path()).as_deref(), Some("4567"));
    }
}
