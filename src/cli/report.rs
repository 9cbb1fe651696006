//! `workbench report`: what a person reads about a run.

use super::arguments::ReportArguments;
use crate::compute::files::replace;
use crate::report;
use crate::script::output;
use std::process::ExitCode;

/// Write the report of a run.
pub fn run(what: &ReportArguments) -> Result<ExitCode, String> {
    let path = match &what.html {
        Some(path) => {
            let page = report::page(&what.run)?;
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
