//! `workbench report`: what a person reads about a run or a sweep.

use super::arguments::ReportArguments;
use crate::base::files::replace;
use crate::base::output;
use crate::report;
use std::path::Path;
use std::process::ExitCode;

/// Write the report of a run or of a sweep.
pub fn run(what: &ReportArguments) -> Result<ExitCode, String> {
    let path = match &what.html {
        Some(path) => {
            let page = report::page(&what.run, is_inside(path, &what.run))?;
            replace(path, page.as_bytes()).map_err(|e| format!("--html {}: {e}", path.display()))?;
            path.clone()
        }
        None => {
            report::write(&what.run)?;
            what.run.join(report::FILE)
        }
    };
    output::line(&path.display().to_string());
    Ok(ExitCode::SUCCESS)
}

/// Does the file lie in the folder? Elsewhere a page cannot lead to what is beside it.
fn is_inside(file: &Path, folder: &Path) -> bool {
    let of = file.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let of = of.and_then(|parent| parent.canonicalize().ok());
    of.is_some() && of == folder.canonicalize().ok()
}
