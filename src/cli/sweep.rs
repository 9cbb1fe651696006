//! `workbench sweep`: every point is a `workbench run` in a process of its own, so that one that fails takes no other along;
//! resumable as a whole; mean and spread over the seeds, tables and a page at the end.

use super::arguments::{HostArguments, SweepArguments};
use super::signals;
use super::start::{end, words};
use crate::base::files::{path_word, quoted};
use crate::base::output;
use crate::base::{interrupt, threads};
use crate::data::source::hub::HubFile;
use crate::repl::terminal;
use crate::report;
use crate::run::archive::outcome::{Outcome, POINTS, SUMMARY, Spread, last_error, outcomes, spreads};
use crate::run::names::{number, per_cent};
use crate::run::refuse_links_out;
use crate::run::sweep::{Point, Sweep};
use crate::run::{RunFolder, commands, duration};
use crate::script::explain::report::{Failure, FailureKind};
use crate::script::{presets, shipped};
use crate::show::table;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Run the sweep that the command line asks for, or go on with one.
pub fn run(what: &SweepArguments, host: HostArguments) -> Result<ExitCode, String> {
    signals::install();
    let (folder, sweep) = match &what.resume {
        Some(folder) => (folder.clone(), goes_on(folder, what, &host)?),
        None => plan(what, &host)?,
    };
    let points = sweep.points()?;
    let begun = Instant::now();
    let wanted: Vec<&Point> = points.iter().filter(|point| !point.is_finished(&folder)).collect();
    output::line(&format!("{}: {} points, {} to run", folder.display(), points.len(), wanted.len()));
    let failed = all(&sweep, &wanted, &folder, what, &host)?;
    let outcomes = outcomes(&sweep, &folder)?;
    tell(&sweep, &outcomes);
    let written = report::write_sweep(&sweep, &outcomes, &folder);
    if written.is_ok() {
        let file = |name: &str| folder.join(name).display().to_string();
        output::line(&format!("written: {}, {}, {}", file(report::FILE), file(POINTS), file(SUMMARY)));
    }
    let finished = outcomes.iter().filter(|outcome| outcome.is_finished()).count();
    output::line(&format!("{finished} of {} points finished, {}", points.len(), duration(begun.elapsed())));
    let again = commands::sweep_goes_on(&sweep, &folder);
    if interrupt::requested() {
        terminal::complain(&format!("interrupted; go on with: {again}"));
        return Ok(end(Err(Failure { kind: FailureKind::Interrupted, reports: vec![] })));
    }
    written?;
    if failed > 0 {
        let message = format!("{failed} points failed; what each said is in its .txt file; once mended: {again}");
        return Ok(end(Err(Failure::bare(message))));
    }
    Ok(ExitCode::SUCCESS)
}

/// A new sweep, written down.
fn plan(what: &SweepArguments, host: &HostArguments) -> Result<(PathBuf, Sweep), String> {
    let script = what.script.as_ref().ok_or("sweep: which script?")?;
    let settings = what.set.iter().map(|argument| Sweep::values(argument)).collect::<Result<Vec<_>, _>>()?;
    if let Some((i, (key, _))) =
        settings.iter().enumerate().find(|(i, (key, _))| settings[..*i].iter().any(|(k, _)| k == key))
    {
        return Err(format!(
            "sweep: --set {key} is given twice ({} and before); give all its values at once",
            what.set[i]
        ));
    }
    if settings.is_empty() && what.seeds.is_none() {
        return Err("sweep: nothing varies; give --set KEY=VALUE,VALUE or --seeds N".into());
    }
    // Every point would say so.
    let ours = shipped::find(script).is_some() || presets::find(script).is_some();
    let is_there = HubFile::is_address(&script.to_string_lossy()) || ours || script.exists();
    if !is_there {
        return Err(shipped::missing(script));
    }
    let first = host.seed.unwrap_or(0);
    let all = host.threads.unwrap_or_else(threads::usual);
    let sweep = Sweep {
        script: script.display().to_string(),
        settings,
        seeds: (0..u64::from(what.seeds.unwrap_or(1))).map(|i| first + i).collect(),
        device: host.device.clone().unwrap_or("cpu".into()),
        threads: (all / what.jobs as usize).max(1),
        arguments: words(&what.permissions, host),
    };
    sweep.points()?;
    let folder = match &what.into {
        Some(into) if into.exists() => {
            return Err(format!(
                "--into {}: it is there already; name a folder that is not, or --resume it",
                into.display()
            ));
        }
        Some(into) => std::fs::create_dir_all(into)
            .map(|()| into.clone())
            .map_err(|e| format!("--into {}: {e}", into.display()))?,
        None => {
            let stem = script.file_stem().map_or("script".into(), |stem| stem.to_string_lossy().into_owned());
            RunFolder::new("runs", &format!("sweep-{stem}")).made()?
        }
    };
    sweep.write(&folder)?;
    Ok((folder, sweep))
}

/// The sweep in `folder`; threads and device are those it began with. What it may touch is what this command line says.
fn goes_on(folder: &Path, what: &SweepArguments, host: &HostArguments) -> Result<Sweep, String> {
    refuse_links_out(folder)?;
    let sweep = Sweep::read(folder)?;
    let fetched = HubFile::is_address(&sweep.script);
    if fetched && !what.permissions.allow_fetch.iter().any(|start| sweep.script.starts_with(start.as_str())) {
        return Err(format!(
            "sweep: the script of {} is recorded as {}, and what is recorded grants nothing; if you mean it, add --allow-fetch {}",
            folder.display(),
            sweep.script,
            quoted(&sweep.script)
        ));
    }
    if host.seed.is_some()
        || host.threads.is_some_and(|n| n != sweep.threads)
        || host.device.as_ref().is_some_and(|d| *d != sweep.device)
    {
        return Err(format!(
            "sweep: --resume goes on with the seeds, {} threads a run and the device {} that the sweep began with; leave --seed, \
             --threads and --device out",
            sweep.threads, sweep.device
        ));
    }
    Ok(sweep)
}

/// A point that is under way.
struct Job<'a> {
    point: &'a Point,
    child: Child,
    begun: Instant,
}

/// Run `wanted`, `jobs` at a time. Returns how many failed.
fn all(
    sweep: &Sweep,
    wanted: &[&Point],
    folder: &Path,
    what: &SweepArguments,
    host: &HostArguments,
) -> Result<usize, String> {
    let (mut waiting, mut jobs, mut failed, mut told) = (wanted.iter(), Vec::<Job>::new(), 0, false);
    loop {
        while jobs.len() < what.jobs as usize && !interrupt::requested() {
            let Some(point) = waiting.next() else { break };
            let child = begin(sweep, point, folder, what, host)?;
            jobs.push(Job { point, child, begun: Instant::now() });
        }
        if jobs.is_empty() {
            return Ok(failed);
        }
        if interrupt::requested() && !told {
            told = true;
            // Each goes on to its next safe place, writes a checkpoint and ends.
            jobs.iter_mut().for_each(|job| stop(&mut job.child));
        }
        std::thread::sleep(Duration::from_millis(50));
        let mut running = vec![];
        for mut job in jobs {
            match job.child.try_wait().map_err(|e| format!("sweep: {}: {e}", job.point.name))? {
                None => running.push(job),
                Some(status) => {
                    let how = match (status.success(), status.code()) {
                        (true, _) if job.point.is_finished(folder) => "finished",
                        (_, Some(130)) => "interrupted",
                        _ => {
                            failed += 1;
                            "failed"
                        }
                    };
                    let took = duration(job.begun.elapsed());
                    output::line(&format!("{}  {how}, {took}  {}", job.point.name, job.point.describe()));
                    if how == "failed" {
                        let said = last_error(&job.point.folder(folder).with_extension("txt"));
                        said.iter().for_each(|line| output::line(&format!("    {line}")));
                    }
                }
            }
        }
        jobs = running;
    }
}

/// Begin a point, or go on with it. What it prints goes into a file beside its folder.
fn begin(
    sweep: &Sweep,
    point: &Point,
    folder: &Path,
    what: &SweepArguments,
    host: &HostArguments,
) -> Result<Child, String> {
    let own = point.folder(folder);
    let failed = |e: std::io::Error| format!("sweep: {}: {e}", own.display());
    let mut arguments: Vec<OsString> = vec!["run".into(), path_word(Path::new(&sweep.script)).into()];
    let mut add = |flag: &str, value: &std::ffi::OsStr| arguments.extend([flag.into(), value.to_os_string()]);
    if own.join("run.json").is_file() {
        add("--resume", own.as_os_str());
    } else {
        if own.exists() {
            // It was killed before it had written what it is.
            std::fs::remove_dir_all(&own).map_err(failed)?;
        }
        add("--into", own.as_os_str());
        add("--seed", point.seed.to_string().as_ref());
        // What was given when the sweep began, and is now read from its folder, grants nothing.
        let flag = if what.resume.is_some() { "--set-recorded" } else { "--set" };
        point.set.iter().for_each(|(key, value)| add(flag, format!("{key}={value}").as_ref()));
    }
    add("--threads", sweep.threads.to_string().as_ref());
    add("--device", sweep.device.as_ref());
    arguments.extend(words(&what.permissions, host).into_iter().map(OsString::from));
    let mut log = File::options();
    let log = log.create(true).append(true).open(own.with_extension("txt")).map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(log.try_clone().map_err(failed)?).stdout(log);
    #[cfg(unix)]
    // Ctrl-C at the terminal is for us alone; we pass it on once.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(failed)
}

/// Ask a run to stop.
fn stop(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(id) = libc::pid_t::try_from(child.id()) {
        // SAFETY: a signal to a child that has not been waited for, so the number is still its own.
        unsafe { libc::kill(id, libc::SIGINT) };
    }
    #[cfg(not(unix))]
    let _ = child.kill();
}

/// The table of means and spreads.
fn tell(sweep: &Sweep, outcomes: &[Outcome]) {
    let found = spreads(outcomes);
    if found.is_empty() {
        return;
    }
    let varying = sweep.varying();
    let keys = varying.iter().map(|at| sweep.settings[*at].0.clone()).collect();
    let head = [vec!["result".to_string()], keys, ["mean", "spread", "seeds"].map(String::from).to_vec()].concat();
    let row = |one: &Spread| {
        let text = |x: f64| if one.is_share { per_cent(x, 2) } else { number(x) };
        let values = varying.iter().map(|at| one.set[*at].1.clone()).collect();
        let numbers = [text(one.mean), one.spread.map_or("-".into(), text), one.seeds.to_string()];
        [vec![one.result.clone()], values, numbers.to_vec()].concat()
    };
    let is_zero = |result: &str| found.iter().filter(|one| one.result == result).all(|one| one.mean == 0.0);
    let (zero, shown): (Vec<&Spread>, Vec<&Spread>) = found.iter().partition(|one| is_zero(&one.result));
    output::line("");
    table(&head, &shown.into_iter().map(row).collect::<Vec<_>>(), terminal::screen())
        .iter()
        .for_each(|line| output::line(line));
    let note = if zero.is_empty() { "" } else { "; results that are 0 everywhere are in summary.csv only" };
    output::line(&format!("spread: standard deviation over the seeds{note}"));
}
