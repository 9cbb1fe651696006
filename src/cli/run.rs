//! `workbench run`: a script from its beginning, or a run that goes on.

use super::arguments::{HostArguments, RunArguments};
use super::{end, session, start};
use crate::repl::terminal;
use crate::run::{Options, Record};
use crate::script::recording::Recording;
use crate::script::settings::Overrides;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Run what the command line asks for.
pub fn run(what: &RunArguments, mut host: HostArguments) -> Result<ExitCode, String> {
    let mut overrides = Overrides::parse(&what.set)?;
    let mut script = what.script.clone();
    if let Some(folder) = &what.resume {
        let old = Record::read(folder)?;
        script.get_or_insert_with(|| PathBuf::from(&old.script));
        same_as_before(&old, what, &mut host)?;
        overrides.complete(&old.overrides);
    }
    let script = script.ok_or("run: which script? Give a .rhai file, or --resume RUN")?;
    let threads = start(host.threads)?;
    let mut session =
        session(host, threads, overrides, Some(script.clone()), recording(what)?, &what.permissions)?;
    session.set_screen(terminal::screen());
    Ok(end(session.run_file(&script)))
}

/// How the run is written down.
fn recording(what: &RunArguments) -> Result<Recording, String> {
    if let Some(into) = what.into.as_deref().filter(|into| !is_free(into)) {
        return Err(format!(
            "--into {}: it is there already; name a folder that is not, or --resume it",
            into.display()
        ));
    }
    let options = Options {
        share: what.checkpoint_share,
        vectors: !what.without_vectors,
        every: what.checkpoint_minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes)),
        window: what.window as usize,
    };
    let (resume, into) = (what.resume.clone(), what.into.clone());
    Ok(Recording { options, resume, into, allow_changes: what.allow_changes })
}

/// A folder that is empty may be one that somebody has made for this run.
fn is_free(folder: &Path) -> bool {
    !folder.exists() || std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// A run goes on with the seed, threads and settings that it began with.
fn same_as_before(old: &Record, what: &RunArguments, host: &mut HostArguments) -> Result<(), String> {
    let refused = |name: &str, given: &str, was: &str| {
        Err(format!(
            "--resume: the run began with {name} {was}, now {given} is asked for; leave that out, or add --allow-changes"
        ))
    };
    if let Some(seed) = host.seed.filter(|seed| *seed != old.seed && !what.allow_changes) {
        return refused("--seed", &seed.to_string(), &old.seed.to_string());
    }
    for (key, value) in Overrides::parse(&what.set)?.given() {
        let was = old.overrides.iter().find(|(k, _)| k == key);
        if !what.allow_changes && was.is_none_or(|(_, was)| was != value) {
            let was = was.map_or("its default".to_string(), |(_, was)| was.clone());
            return refused(&format!("--set {key} as"), value, &was);
        }
    }
    host.seed.get_or_insert(old.seed);
    host.threads.get_or_insert(old.threads);
    host.device.get_or_insert_with(|| old.device.clone());
    Ok(())
}
