//! `workbench sweep`: every point is a `workbench run` in a process of its own, so that one that fails takes no other along;
//! resumable as a whole; mean and spread over the seeds, tables and a page at the end. Or its plan alone, whose points a scheduler runs.

mod item;
mod planned;
mod points;
mod sources;
mod table;

use super::arguments::{HostArguments, SweepArguments};
use super::signals;
use super::start::end;
use crate::base::{interrupt, output};
use crate::repl::terminal;
use crate::report;
use crate::run::archive::outcome::{Outcome, POINTS, SUMMARY, outcomes};
use crate::run::sweep::{Point, Sweep};
use crate::run::{commands, duration, refuse_links_out};
use crate::script::explain::report::{Failure, FailureKind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Run the sweep that the command line asks for, go on with one, or do a part of what a scheduler does.
pub fn run(what: &SweepArguments, host: HostArguments) -> Result<ExitCode, String> {
    if let (Some(item), Some(folder)) = (what.item, &what.of) {
        return item::run(item, folder, what, &host);
    }
    if let Some(folder) = &what.collect {
        if host.seed.is_some() || host.threads.is_some() || host.device.is_some() {
            return Err("sweep: --collect runs nothing; leave --seed, --threads and --device out".into());
        }
        refuse_links_out(folder)?;
        return collect(&Sweep::read(folder)?, folder);
    }
    signals::install();
    let (folder, sweep) = match &what.resume {
        Some(folder) => (folder.clone(), planned::goes_on(folder, what, &host)?),
        None => planned::plan(what, &host)?,
    };
    let points = sweep.points()?;
    if what.plan {
        output::line(&format!("{}: {} points, items 0 to {}", folder.display(), points.len(), points.len() - 1));
        output::line(&format!("each by:  {}", commands::sweep_item("$K", &sweep, &folder)));
        output::line(&format!("then:     {}", commands::sweep_collected(&folder)));
        return Ok(ExitCode::SUCCESS);
    }
    let begun = Instant::now();
    let wanted: Vec<&Point> = points.iter().filter(|point| !point.is_finished(&folder)).collect();
    output::line(&format!("{}: {} points, {} to run", folder.display(), points.len(), wanted.len()));
    let failed = points::all(&sweep, &wanted, &folder, what, &host)?;
    let outcomes = outcomes(&sweep, &folder)?;
    let written = told(&sweep, &outcomes, &folder);
    output::line(&format!("{}, {}", finished(&outcomes), duration(begun.elapsed())));
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

/// What the points have come to so far. An error as long as some are not finished, so that a job that waits for all can tell.
fn collect(sweep: &Sweep, folder: &Path) -> Result<ExitCode, String> {
    let outcomes = outcomes(sweep, folder)?;
    told(sweep, &outcomes, folder)?;
    output::line(&finished(&outcomes));
    let left: Vec<usize> = (0..outcomes.len()).filter(|i| !outcomes[*i].is_finished()).collect();
    if left.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let again = commands::sweep_item("$K", sweep, folder);
    Ok(end(Err(Failure::bare(format!("not finished: items {}; each by: {again}", ranges(&left))))))
}

fn finished(outcomes: &[Outcome]) -> String {
    let finished = outcomes.iter().filter(|outcome| outcome.is_finished()).count();
    format!("{finished} of {} points finished", outcomes.len())
}

/// Table, files and page.
fn told(sweep: &Sweep, outcomes: &[Outcome], folder: &Path) -> Result<(), String> {
    table::tell(sweep, outcomes);
    report::write_sweep(sweep, outcomes, folder)?;
    let file = |name: &str| folder.join(name).display().to_string();
    output::line(&format!("written: {}, {}, {}", file(report::FILE), file(POINTS), file(SUMMARY)));
    Ok(())
}

/// `0,4-7`: as SLURM's `--array` takes them.
fn ranges(items: &[usize]) -> String {
    let runs = items.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn items_are_told_as_an_array_job_takes_them() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[3]), "3");
    }
}
