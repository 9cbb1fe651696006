//! The plan of a sweep: made of a command line, or read from the folder of one.

use super::sources::{digest, expect_as_planned};
use crate::base::files::quoted;
use crate::base::threads;
use crate::cli::arguments::{HostArguments, SweepArguments};
use crate::cli::start::words;
use crate::data::source::hub::HubFile;
use crate::run::RunFolder;
use crate::run::refuse_links_out;
use crate::run::sweep::Sweep;
use crate::script::{presets, shipped};
use std::path::{Path, PathBuf};

/// A new sweep, written down.
pub fn plan(what: &SweepArguments, host: &HostArguments) -> Result<(PathBuf, Sweep), String> {
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
    // Items of a scheduler may run on other machines than this one.
    let threads = if what.plan { host.threads.unwrap_or(0) } else { (all / what.jobs as usize).max(1) };
    let sweep = Sweep {
        script: named(script, what.plan)?,
        settings,
        seeds: (0..u64::from(what.seeds.unwrap_or(1))).map(|i| first + i).collect(),
        device: host.device.clone().unwrap_or("cpu".into()),
        threads,
        sources_digest: if what.plan { Some(digest(script, what, host)?) } else { None },
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

/// The script as a point is told it: of a plan by its whole path, as items begin anywhere.
fn named(script: &Path, plan: bool) -> Result<String, String> {
    let path = if plan && script.exists() {
        script.canonicalize().map_err(|e| format!("{}: {e}", script.display()))?
    } else {
        script.to_path_buf()
    };
    Ok(path.display().to_string())
}

/// The sweep in `folder`; threads and device are those it began with. What it may touch is what this command line says.
pub fn goes_on(folder: &Path, what: &SweepArguments, host: &HostArguments) -> Result<Sweep, String> {
    refuse_links_out(folder)?;
    let mut sweep = Sweep::read(folder)?;
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
        || host.threads.is_some_and(|n| sweep.threads > 0 && n != sweep.threads)
        || host.device.as_ref().is_some_and(|d| *d != sweep.device)
    {
        let threads = if sweep.threads > 0 { format!(", {} threads a run", sweep.threads) } else { String::new() };
        return Err(format!(
            "sweep: {} goes on with the seeds{threads} and the device {} that the sweep began with; leave --seed, \
             --threads and --device out",
            folder.display(),
            sweep.device
        ));
    }
    expect_as_planned(&sweep, what, host)?;
    if sweep.threads == 0 {
        // An item has its machine, or the part of it that the scheduler gives; points side by side share it.
        let all = host.threads.unwrap_or_else(threads::usual);
        sweep.threads = (all / what.jobs as usize).max(1);
    }
    Ok(sweep)
}
