//! One process for one run: an advisory lock on `.lock` in its folder, which the system takes away with the process.

use std::fs::{File, OpenOptions};
use std::path::Path;

/// Does a process hold the run in this folder at the moment?
pub fn is_under_way(folder: &Path) -> bool {
    let file = File::open(folder.join(".lock"));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Only one process at a time. Who looks whether a run is under way holds the lock for a moment, so it is asked for a little longer.
pub fn lock(folder: &Path) -> Result<File, String> {
    let path = folder.join(".lock");
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    let mut found = file.try_lock();
    for _ in 0..3 {
        if !matches!(found, Err(std::fs::TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        found = file.try_lock();
    }
    match found {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(format!("the run in {} is under way in another process; wait for it, or stop it", folder.display()))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(failed(e)),
    }
}
