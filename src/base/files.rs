//! Files that appear whole: written beside the final name, synced and renamed, so that a killed process or a full disk leaves
//! the old one. Where files of this program's own lie; paths as words of a command line.

use std::io::Write;
use std::path::{Path, PathBuf};

/// A word of a command line, in quotes where a shell needs them.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The same of a path.
pub fn quoted_path(path: &Path) -> String {
    quoted(&path_word(path))
}

/// A path as a word of a command line, where what begins with a dash is a flag.
pub fn path_word(path: &Path) -> String {
    let shown = path.display().to_string();
    if shown.starts_with('-') { format!("./{shown}") } else { shown }
}

/// Write a file, all or nothing.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    put(path, bytes, true)
}

/// The same without waiting for the disk, for what can be made again: a killed process leaves the old file, a power cut may
/// leave neither.
pub fn replace_unsynced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    put(path, bytes, false)
}

fn put(path: &Path, bytes: &[u8], sync: bool) -> std::io::Result<()> {
    std::fs::create_dir_all(folder_of(path))?;
    let mut file = temporary().tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    if sync {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// A maker of files that will get another name. Who may read them is what the umask says, as of any other file: a temporary
/// file by itself is its owner's alone.
pub fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// The folder of this program in the user's cache; the XDG specification has relative paths ignored.
pub fn cache_folder(env: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let base = env("XDG_CACHE_HOME").filter(|p| p.is_absolute()).or_else(|| env("HOME").map(|h| h.join(".cache")));
    base.map(|p| p.join("workbench"))
}

/// An environment variable as a path; one that is set to nothing counts as not set.
pub fn variable(key: &str) -> Option<PathBuf> {
    std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("lr=1e-3"), "lr=1e-3");
        assert_eq!(quoted("a b's"), "'a b'\\''s'");
        assert_eq!((quoted_path(Path::new("-a b")), quoted_path(Path::new("a-b"))), ("'./-a b'".into(), "a-b".into()));
        assert_eq!((quoted(""), quoted("*.rhai"), quoted("$x")), ("''".into(), "'*.rhai'".into(), "'$x'".into()));
    }

    #[cfg(unix)]
    #[test]
    fn files_follow_the_umask() -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir()?;
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).map(|m| m.permissions().mode());
        std::fs::write(folder.path().join("any"), b"x")?;
        replace(&folder.path().join("replaced"), b"x")?;
        temporary().tempfile_in(folder.path())?.persist(folder.path().join("renamed")).map_err(|e| e.error)?;
        assert_eq!([mode("replaced")?, mode("renamed")?], [mode("any")?; 2]);
        Ok(())
    }
}
