//! What the points of a plan are runs of: one digest over the script and its modules.

use crate::cli::arguments::{HostArguments, SweepArguments};
use crate::cli::origin::Origin;
use crate::cli::start::Started;
use crate::data::sha256;
use crate::run::sweep::Sweep;
use std::collections::BTreeMap;
use std::path::Path;

/// The script is loaded and its names are checked, as before a run; modules that it imports by a path made while it runs are not seen.
pub fn digest(script: &Path, what: &SweepArguments, host: &HostArguments) -> Result<String, String> {
    let origin = Origin::find(script)?;
    let started = Started {
        threads: 1,
        script: Some(origin.script.clone()),
        source: origin.source.clone(),
        ..Started::default()
    };
    let session = started.session(HostArguments { device: None, ..host.clone() }, &what.permissions)?;
    session.check_file(&origin.script).map_err(|failure| failure.render(false))?;
    let sources: BTreeMap<String, String> = session.loader().closure().into_iter().collect();
    let lines: Vec<String> =
        sources.iter().map(|(name, text)| format!("{name} {}\n", sha256(text.as_bytes()))).collect();
    Ok(sha256(lines.concat().as_bytes()))
}

/// Are script and modules as they were when the sweep was planned? Whoever starts an item, and whenever, does the same experiment.
pub fn expect_as_planned(sweep: &Sweep, what: &SweepArguments, host: &HostArguments) -> Result<(), String> {
    let Some(planned) = &sweep.sources_digest else { return Ok(()) };
    if digest(Path::new(&sweep.script), what, host)? == *planned {
        return Ok(());
    }
    Err(format!(
        "sweep: {} or one of its modules is not as it was when this was planned; put it back, or plan a new sweep with --plan",
        sweep.script
    ))
}
