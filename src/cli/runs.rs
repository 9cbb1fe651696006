//! `workbench runs` and `workbench compare`: which runs there are, and in what they differ.

use crate::base::files;
use crate::base::output;
use crate::repl::terminal;
use crate::report;
use crate::run::archive::{Line, StoredRun, compare as lines};
use crate::run::names::{is_certified, is_clean, is_share, per_cent};
use crate::run::time;
use crate::show::table;
use std::path::{Path, PathBuf};

/// List the runs in `folder`.
pub fn list(folder: &Path) -> Result<(), String> {
    if !folder.exists() {
        output::line(&format!("no runs yet: there is no folder {}", folder.display()));
        return Ok(());
    }
    let (runs, problems) = StoredRun::all(folder)?;
    for problem in &problems {
        terminal::complain(&format!("note: {problem}"));
    }
    if runs.is_empty() {
        output::line(&format!("no runs in {}", folder.display()));
        return Ok(());
    }
    let head = ["run", "status", "epoch", "time", "clean", "certified"].map(String::from);
    let shares = |run: &StoredRun| [last(run, "clean", is_clean), last(run, "certified", is_certified)];
    let row = |run: &StoredRun| {
        let epoch = run.epoch().map_or(String::new(), |(label, epoch)| format!("{label} {epoch}").trim().to_string());
        let time = time(run.record.seconds);
        let path = run.path.display().to_string();
        [vec![path, run.status(), epoch, time], shares(run).to_vec()].concat()
    };
    show(&head, &runs.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

/// The last share called `name` among what the run stated or logged, else the last of its kind.
fn last(run: &StoredRun, name: &str, is_kind: fn(&str) -> bool) -> String {
    let results = run.results();
    let shares = || results.iter().rev().filter(|(found, value)| is_share(found, &[*value]));
    let exact = shares().find(|(found, _)| found == name || found.starts_with(&format!("{name} (")));
    let found = exact.or_else(|| shares().find(|(found, _)| is_kind(found)));
    found.map_or("-".into(), |(_, share)| per_cent(*share, 1))
}

/// Show in what `paths` differ, and write it as a page to `html` if that is wanted.
pub fn compare(paths: &[PathBuf], html: Option<&Path>) -> Result<(), String> {
    let runs = paths.iter().map(|path| StoredRun::open(path)).collect::<Result<Vec<_>, _>>()?;
    let (settings, results) = lines(&runs);
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    let head = |first: &str| [vec![first.to_string()], names.clone()].concat();
    let cells = |line: &Line| {
        let value = |value: &Option<String>| value.clone().unwrap_or("-".into());
        [vec![line.name.clone()], line.values.iter().map(value).collect()].concat()
    };
    let rows = |lines: &[Line]| lines.iter().map(cells).collect::<Vec<_>>();
    let mut stood = rows(&settings);
    stood.push([vec!["status".to_string()], runs.iter().map(StoredRun::status).collect()].concat());
    output::line("What differs");
    show(&head("setting"), &stood);
    output::line("");
    if results.is_empty() {
        output::line("No results and no epochs to compare.");
    } else {
        output::line("Results");
        show(&head("result"), &rows(&results));
    }
    if let Some(path) = html {
        files::replace(path, report::comparison(&runs)?.as_bytes())
            .map_err(|e| format!("compare: {}: {e}", path.display()))?;
        output::line(&format!("written: {}", path.display()));
    }
    Ok(())
}

fn show(head: &[String], rows: &[Vec<String>]) {
    table(head, rows, terminal::screen()).iter().for_each(|line| output::line(line));
}
