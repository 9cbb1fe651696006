//! One point of a plan, as a scheduler starts it: `workbench sweep --item K --of SWEEP`. The process becomes the run, so that the
//! scheduler's signals, its log and its exit code are those of the run.

use super::planned::goes_on;
use super::points::command;
use crate::base::output;
use crate::cli::arguments::{HostArguments, SweepArguments};
use crate::cli::signals;
use std::path::Path;
use std::process::ExitCode;

pub fn run(item: usize, folder: &Path, what: &SweepArguments, host: &HostArguments) -> Result<ExitCode, String> {
    signals::hold_back();
    let sweep = goes_on(folder, what, host)?;
    let points = sweep.points()?;
    let Some(point) = points.get(item) else {
        return Err(format!("sweep: --item {item}: {} has the items 0 to {}", folder.display(), points.len() - 1));
    };
    if point.is_finished(folder) {
        output::line(&format!("item {item} ({}) is finished", point.name));
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("item {item} of {}: {}  {}", points.len(), point.name, point.describe()));
    let mut command = command(&sweep, point, folder, what, host)?;
    let failed = |e: std::io::Error| format!("sweep: --item {item}: {e}");
    #[cfg(unix)]
    return Err(failed(std::os::unix::process::CommandExt::exec(&mut command)));
    #[cfg(not(unix))]
    {
        let status = command.status().map_err(failed)?;
        Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
    }
}
