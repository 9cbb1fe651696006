//! Points of a sweep, each a `workbench run` in a process of its own.

use crate::base::files::path_word;
use crate::base::interrupt::{self, INTERRUPTED, TRY_AGAIN};
use crate::base::output;
use crate::cli::arguments::{HostArguments, SweepArguments};
use crate::cli::start::words;
use crate::compute::collective::found;
use crate::run::archive::outcome::last_error;
use crate::run::sweep::{Point, Sweep};
use crate::run::{RUN_JSON, duration, lock};
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A point that is under way.
struct Job<'a> {
    point: &'a Point,
    child: Child,
    begun: Instant,
}

/// Run `wanted`, `jobs` at a time. Returns how many failed.
pub fn all(
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
                        (_, Some(code)) if [INTERRUPTED, TRY_AGAIN].map(i32::from).contains(&code) => "interrupted",
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
    let log = point.folder(folder).with_extension("txt");
    let failed = |e: std::io::Error| format!("sweep: {}: {e}", log.display());
    let mut command = command(sweep, point, folder, what, host)?;
    let log = File::options().create(true).append(true).open(&log).map_err(failed)?;
    command.stdin(Stdio::null()).stderr(log.try_clone().map_err(failed)?).stdout(log);
    #[cfg(unix)]
    // Ctrl-C at the terminal is for us alone; we pass it on once.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(failed)
}

/// The command that begins a point or goes on with it.
pub fn command(
    sweep: &Sweep,
    point: &Point,
    folder: &Path,
    what: &SweepArguments,
    host: &HostArguments,
) -> Result<Command, String> {
    let own = point.folder(folder);
    let failed = |e: std::io::Error| format!("sweep: {}: {e}", own.display());
    let mut arguments: Vec<OsString> = vec!["run".into(), path_word(Path::new(&sweep.script)).into()];
    // A point is done by one process, also where a launcher has started several for several points.
    if found().is_some() {
        arguments.extend(["--processes".into(), "1".into()]);
    }
    let mut add = |flag: &str, value: &std::ffi::OsStr| arguments.extend([flag.into(), value.to_os_string()]);
    if own.join(RUN_JSON).is_file() {
        add("--resume", own.as_os_str());
    } else {
        if own.exists() {
            // It was killed before it had written what it is, unless somebody is about to.
            let _held = lock(&own).map_err(|why| format!("sweep: {why}"))?;
            std::fs::remove_dir_all(&own).map_err(failed)?;
        }
        add("--into", own.as_os_str());
        add("--seed", point.seed.to_string().as_ref());
        // What was given when the sweep began, and is now read from its folder, grants nothing.
        let given = what.resume.is_none() && what.item.is_none();
        let flag = if given { "--set" } else { "--set-recorded" };
        point.set.iter().for_each(|(key, value)| add(flag, format!("{key}={value}").as_ref()));
    }
    add("--threads", sweep.threads.to_string().as_ref());
    add("--device", sweep.device.as_ref());
    if let Some(minutes) = what.checkpoint_minutes {
        add("--checkpoint-minutes", minutes.to_string().as_ref());
    }
    arguments.extend(words(&what.permissions, host).into_iter().map(OsString::from));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(arguments);
    Ok(command)
}

/// Ask a run to stop.
fn stop(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(id) = libc::pid_t::try_from(child.id()) {
        // SAFETY: a signal to a child that has not been waited for, so the number is still its own.
        unsafe { libc::kill(id, if interrupt::exit_code() == TRY_AGAIN { libc::SIGUSR1 } else { libc::SIGINT }) };
    }
    #[cfg(not(unix))]
    let _ = child.kill();
}
