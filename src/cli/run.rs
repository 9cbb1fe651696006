//! `workbench run`: a script from its beginning, or a run that goes on; `workbench replay`: a run once more, as it was.

use super::arguments::{HostArguments, ReplayArguments, RunArguments, SumOrder};
use super::origin::Origin;
use super::processes::{Joined, alone, join, start_processes, wait_for_first};
use super::start::{Started, end, free, start, start_among, words};
use crate::base::hex::hex;
use crate::base::output;
use crate::compute::collective::{Launch, Ranks, Strata, found};
use crate::data::source::hub::HubFile;
use crate::repl::terminal;
use crate::run::archive::results;
use crate::run::{Options, Record, StoredRun, commands, git_state};
use crate::script::explain::report::Failure;
use crate::script::session::Recording;
use crate::script::session::Session;
use crate::script::settings::Overrides;
use crate::show::table;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Run what the command line asks for.
pub fn run(what: &RunArguments, host: HostArguments) -> Result<ExitCode, String> {
    // One alone, whatever has started it.
    let alone = what.processes == Some(1);
    if let Some(n) = what.processes.filter(|_| !alone) {
        return start_processes(n as usize);
    }
    let launch = found().filter(|_| !alone);
    let ended = run_among(what, host, launch.as_ref());
    if let (Err(_), Some(launch)) = (&ended, &launch) {
        wait_for_first(launch.rank);
    }
    ended
}

/// The same as one of the processes of a launcher, if there is one.
fn run_among(what: &RunArguments, mut host: HostArguments, launch: Option<&Launch>) -> Result<ExitCode, String> {
    // Before MPI is begun, which does not like processes to be started.
    let git = launch.map(|_| git_state(Path::new(".")));
    let mut overrides = Overrides::parse(&what.set)?;
    let mut given = what.script.clone();
    let goes_on = what.resume.as_deref().map(Record::read).transpose()?;
    // What is recorded grants nothing.
    overrides.complete(Overrides::parse(&what.set_recorded)?.given());
    if let Some(old) = &goes_on {
        if given.is_none() && HubFile::is_address(&old.script) {
            return Err(format!(
                "--resume: the run's script is recorded as {}, and what is recorded grants nothing; if you mean it, name it: {}",
                old.script,
                commands::goes_on(old, what.resume.as_deref().unwrap_or(Path::new("")))
            ));
        }
        given.get_or_insert_with(|| PathBuf::from(&old.script));
        let processes = launch.map_or(1, |launch| launch.world);
        same_as_before(old, what, &mut host, processes)?;
        overrides.complete(&old.overrides);
    }
    let given = given.ok_or("run: which script? Give a .rhai file, or --resume RUN")?;
    let mut origin = Origin::find(&given)?;
    if let Some(old) = &goes_on {
        origin.source.arithmetic = Some(old.arithmetic);
    }
    if let (Some(old), None) = (&origin.record, &goes_on) {
        overrides.complete(&old.overrides);
        as_it_was(old, &mut host);
    }
    overrides.complete(&origin.settings);
    let recording = Recording { flags: flags(what, &host), git, ..recording(what)? };
    let joined = match launch {
        Some(launch) => join(launch, what, goes_on.as_ref(), told(what, &host, &overrides, &origin.script))?,
        None => alone(what, goes_on.as_ref().or(origin.record.as_ref().filter(|_| what.shards.is_none())))?,
    };
    host.device = joined.device(host.device);
    let begun = started(&joined, overrides, &origin, recording, host, what);
    let mut session = match begun {
        Ok(session) => session,
        Err(why) if launch.is_none() => return Err(why),
        Err(why) => return Ok(joined.end(Err(Failure::bare(why)))),
    };
    session.set_screen(terminal::screen());
    Ok(joined.end(session.run_file(&origin.script)))
}

/// What all processes have to be started with alike, by name.
fn told(what: &RunArguments, host: &HostArguments, overrides: &Overrides, script: &Path) -> Vec<(String, String)> {
    let text = std::fs::read(script).unwrap_or_default();
    let settings = overrides.given().iter().map(|(key, value)| (format!("--set {key}"), value.clone()));
    let own = [
        ("the version", env!("CARGO_PKG_VERSION").to_string()),
        ("the script", hex(&Sha256::digest(text))[..16].to_string()),
        ("--seed", host.seed.unwrap_or(0).to_string()),
        ("--window", what.window.to_string()),
        ("--shards", format!("{:?}", what.shards)),
        ("--by-shard", what.by_shard.to_string()),
        ("--sum", format!("{:?}", what.sum)),
        ("--reshard", what.reshard.to_string()),
        ("--without-vectors", what.without_vectors.to_string()),
    ];
    own.into_iter().map(|(name, value)| (name.to_string(), value)).chain(settings).collect()
}

fn started(
    joined: &Joined,
    overrides: Overrides,
    origin: &Origin,
    recording: Recording,
    host: HostArguments,
    what: &RunArguments,
) -> Result<Session, String> {
    let threads = start_among(host.threads, joined.threads)?;
    let (script, source, ranks) = (Some(origin.script.clone()), origin.source.clone(), joined.ranks.clone());
    Started { threads, overrides, script, source, recording, ranks }.session(host, &what.permissions)
}

/// Run a run again and say whether it comes to the same.
pub fn replay(what: &ReplayArguments, mut host: HostArguments) -> Result<ExitCode, String> {
    if !what.run.exists() {
        return Err(format!(
            "replay: there is no run or pack {}; workbench runs lists those that are there",
            what.run.display()
        ));
    }
    let mut origin = Origin::find(&what.run)?;
    let Some(old) = origin.record.take() else {
        return Err(format!(
            "replay: {} is neither a run's folder nor a pack; workbench run runs it",
            what.run.display()
        ));
    };
    as_it_was(&old, &mut host);
    origin.source.repeats = true;
    let mut overrides = Overrides::default();
    overrides.complete(&old.overrides);
    let flags = words(&what.permissions, &host);
    let recording = Recording { into: free(what.into.as_deref())?, flags, ..Recording::default() };
    let threads = start(host.threads)?;
    // What several processes did, one does shard by shard.
    let by_shard = old.by_shard || old.shards() > 1 && old.processes() == old.shards();
    let ranks = Ranks { strata: Strata::deal(old.shards(), 0, 1, by_shard)?, ..Ranks::default() };
    let (script, source) = (Some(origin.script.clone()), origin.source.clone());
    let started = Started { threads, overrides, script, source, recording, ranks };
    let mut session = started.session(host, &what.permissions)?;
    session.set_screen(terminal::screen());
    let result = session.run_file(&origin.script);
    if result.is_ok() {
        tell(&old, &what.run, &session);
    }
    Ok(end(result))
}

/// Did the run come to what it came to before?
fn tell(old: &Record, run: &Path, session: &Session) {
    let (new, folder) = session.record();
    let other: Vec<String> = [("device", &old.device, &new.device)]
        .into_iter()
        .filter(|(_, was, is)| was != is)
        .map(|(name, was, is)| format!("{name} {is}, then {was}"))
        .chain((old.threads != new.threads).then(|| format!("{} threads, then {}", new.threads, old.threads)))
        .chain(new.versions.iter().filter_map(|(name, is)| {
            let was = old.versions.get(name).map_or("unknown", String::as_str);
            (was != is).then(|| format!("{name} {is}, then {was}"))
        }))
        .collect();
    let before = match StoredRun::open(run) {
        Ok(before) => before,
        Err(message) => return output::line(&format!("note: cannot be compared with {}: {message}", run.display())),
    };
    let after = folder.as_deref().and_then(|folder| StoredRun::open(folder).ok());
    let after = after.map_or_else(|| results(&new, &[]), |run| run.results());
    let before = before.results();
    let names = before.iter().map(|(name, _)| name);
    let of = |list: &[(String, f64)], name: &String| list.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
    let shown = |value: Option<f64>| value.map_or("-".to_string(), |value| value.to_string());
    let rows: Vec<Vec<String>> = names
        .filter(|name| of(&before, name) != of(&after, name))
        .map(|name| vec![name.clone(), shown(of(&before, name)), shown(of(&after, name))])
        .collect();
    output::line("");
    if before.is_empty() {
        output::line(&format!("{} states no results to compare with", run.display()));
    } else if rows.is_empty() {
        output::line(&format!("all {} results are those of {}", before.len(), run.display()));
    } else {
        output::line(&format!("{} of {} results differ from {}:", rows.len(), before.len(), run.display()));
        let head = ["result", "then", "now"].map(String::from);
        table(&head, &rows, terminal::screen()).iter().for_each(|line| output::line(line));
    }
    if !other.is_empty() {
        output::line(&format!("note: not the same circumstances: {}", other.join("; ")));
    }
}

/// Seed, threads and device of an earlier run, unless the command line says otherwise.
fn as_it_was(old: &Record, host: &mut HostArguments) {
    host.seed.get_or_insert(old.seed);
    host.threads.get_or_insert(old.threads);
    host.device.get_or_insert_with(|| old.device.clone());
}

/// How the run is written down.
fn recording(what: &RunArguments) -> Result<Recording, String> {
    let options = Options {
        share: what.checkpoint_share,
        vectors: !what.without_vectors,
        every: what.checkpoint_minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes)),
        window: what.window as usize,
    };
    let (resume, into) = (what.resume.clone(), free(what.into.as_deref())?);
    Ok(Recording { options, resume, into, allow_changes: what.allow_changes, ..Recording::default() })
}

/// Words of the command line that a run needs again, beside script, settings, seed, threads and device.
fn flags(what: &RunArguments, host: &HostArguments) -> Vec<String> {
    let usual = Options::default();
    let mut flags = words(&what.permissions, host);
    let mut add = |flag: &str, value: String| flags.extend([flag.to_string(), value]);
    if what.window as usize != usual.window {
        add("--window", what.window.to_string());
    }
    if what.checkpoint_share != usual.share {
        add("--checkpoint-share", what.checkpoint_share.to_string());
    }
    if let Some(minutes) = what.checkpoint_minutes {
        add("--checkpoint-minutes", minutes.to_string());
    }
    if what.sum == SumOrder::Fast {
        add("--sum", "fast".into());
    }
    if what.deadline.to_bits() != RunArguments::DEADLINE.to_bits() {
        add("--deadline", what.deadline.to_string());
    }
    if what.without_vectors {
        flags.push("--without-vectors".into());
    }
    flags
}

/// A run goes on with the seed, threads and settings that it began with.
fn same_as_before(old: &Record, what: &RunArguments, host: &mut HostArguments, processes: usize) -> Result<(), String> {
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
    let (threads, device) = (host.threads, host.device.clone());
    as_it_was(old, host);
    if processes != old.processes() {
        // Other processes have other shares of their machines, and of their GPUs.
        host.threads = threads;
    }
    if processes > 1 && old.processes() > 1 && device.is_none() && old.device.starts_with("cuda:") {
        host.device = Some("cuda".into());
    }
    Ok(())
}
