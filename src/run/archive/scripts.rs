//! Whether a run's folder holds the scripts that were run, before they are run again: they have to have the checksums of
//! `run.json`.

use super::links::refuse_links_out;
use crate::base::files::quoted_path;
use crate::base::hex::hex;
use crate::run::recorder::{RUN_JSON, Record};
use sha2::{Digest, Sha256};
use std::path::Path;

/// An error unless the scripts in `folder` are those that were run.
pub fn check_scripts(record: &Record, folder: &Path) -> Result<(), String> {
    refuse_links_out(folder)?;
    record.check_names().map_err(|why| format!("{}: {why}", folder.join(RUN_JSON).display()))?;
    for (name, sum) in &record.files {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        if hex(&Sha256::digest(&bytes)) != *sum {
            let (path, from) = (path.display(), quoted_path(&path));
            return Err(format!(
                "{path} has changed since it was run, so the folder no longer holds what was run; put it back, or make a \
                 variant of it: workbench new NAME --from {from}"
            ));
        }
    }
    Ok(())
}
