//! `workbench pack` and `workbench unpack`: a run as one file, and back.

use crate::base::files::quoted_path;
use crate::base::memory;
use crate::base::output;
use crate::run::archive::{EXTENSION, Pack, pack as write};
use crate::run::{Record, Status};
use std::path::{Path, PathBuf};

/// Pack the run in the folder `run`.
pub fn pack(run: &Path, into: Option<&Path>) -> Result<(), String> {
    let full = run.canonicalize().map_err(|e| format!("pack: {}: {e}", run.display()))?;
    let name = full.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned());
    let to = into.map_or_else(|| PathBuf::from(format!("{name}.{EXTENSION}")), Path::to_path_buf);
    if to.extension().is_none_or(|extension| extension != EXTENSION) {
        return Err(format!("pack: {}: the name of a pack ends in .{EXTENSION}", to.display()));
    }
    let bytes = write(run, &to)?;
    output::line(&format!("{}: {}", to.display(), memory::describe(bytes)));
    if Record::read(run)?.status != Status::Finished {
        output::line(
            "it has not finished, and a pack holds no checkpoints: to go on with it elsewhere, copy its whole folder",
        );
    }
    output::line(&format!(
        "run it with: workbench run {0}, or exactly as it was: workbench replay {0}",
        quoted_path(&to)
    ));
    Ok(())
}

/// Take the pack `from` apart into a run's folder. It gets its name when all is there.
pub fn unpack(from: &Path, into: Option<&Path>) -> Result<(), String> {
    let mut pack = Pack::open(from)?;
    let to = into.map_or_else(|| Path::new("runs").join(pack.name()), Path::to_path_buf);
    if to.exists() {
        return Err(format!("unpack: {} is there already; name another folder with --into", to.display()));
    }
    let failed = |e: std::io::Error| format!("unpack: {}: {e}", to.display());
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed)?;
    let beside = tempfile::Builder::new().prefix(".unpack-").tempdir_in(parent).map_err(failed)?;
    let folder = beside.path().join("run");
    std::fs::create_dir(&folder).map_err(failed)?;
    pack.unpack(&folder, |_| true)?;
    std::fs::rename(&folder, &to).map_err(failed)?;
    output::line(&format!("{}: {}", to.display(), pack.record.main));
    Ok(())
}
