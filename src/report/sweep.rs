//! The page about a sweep: what was planned, means and spreads, how results hang on settings, learning curves, all points.

use super::dependence::{self, described, told_apart};
use super::frame::{FILE, document, figures, name};
use super::groups::named;
use super::tables::{Cell, cells, joined, list, meaning};
use super::together::{self, Bundle};
use crate::base::files::quoted;
use crate::run::archive::outcome::{Outcome, Spread, result_names, spreads};
use crate::run::names::{best, is_share, number, per_cent};
use crate::run::sweep::{Set, Sweep};
use crate::run::{StoredRun, commands, duration, time};
use crate::show::plot::{Plot, TOLD_APART};
use maud::{Markup, html};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// As many plots are seen at once; the others are folded up.
const SHOWN: usize = 24;

/// All plots, with the names of their files.
pub fn plots(sweep: &Sweep, outcomes: &[Outcome]) -> Vec<(String, Plot)> {
    named(dependence::plots(sweep, outcomes).into_iter().chain(curves(sweep, outcomes)))
}

/// The page about the sweep in `folder`. With `links` to the pages of the points, which lie beside it.
pub fn page(sweep: &Sweep, outcomes: &[Outcome], folder: &Path, links: bool) -> Result<String, String> {
    let sections = [
        ("Plan", plan(sweep, outcomes)),
        ("Results", means(sweep, outcomes)),
        ("Results by setting", folded(dependence::plots(sweep, outcomes))?),
        ("Learning curves", folded(curves(sweep, outcomes))?),
        ("Points", points(sweep, outcomes, folder, links)),
        ("To run it again", again(sweep)),
    ];
    let main = sweep.script.rsplit(['/', '\\']).next().unwrap_or(&sweep.script);
    let own = name(folder);
    let footer = format!("from the folder {own}");
    Ok(document(&format!("{main} – {own}"), &format!("Sweep of {main}"), &lead(outcomes), &sections, &footer))
}

/// How the sweep stands, in a sentence or two.
fn lead(outcomes: &[Outcome]) -> Markup {
    let mut counts: Vec<(&str, usize)> = vec![];
    for outcome in outcomes {
        match counts.iter_mut().find(|(status, _)| *status == outcome.status) {
            Some((_, count)) => *count += 1,
            None => counts.push((&outcome.status, 1)),
        }
    }
    let count = |(status, count): (&str, usize)| {
        html! { span class={ "status " (class(status)) } { (count) " " (status) } }
    };
    let runs = || outcomes.iter().filter_map(|outcome| outcome.run.as_ref());
    let seconds: f64 = runs().map(|run| run.record.seconds.max(0.0)).sum();
    let took = time(seconds);
    let began = runs().map(StoredRun::began).filter(|began| !began.is_empty()).min();
    html! {
        p.lead {
            (outcomes.len()) " points: " (joined(counts.into_iter().map(count))) ". The runs took " (took) " in all."
            @if let Some(began) = began { " Begun " (began) "." }
        }
    }
}

fn class(status: &str) -> &'static str {
    match status {
        "finished" => "good",
        "failed" | "killed" | "damaged" => "bad",
        _ => "open",
    }
}

/// What is run.
fn plan(sweep: &Sweep, outcomes: &[Outcome]) -> Markup {
    let mut pairs = vec![("script".to_string(), sweep.script.clone())];
    pairs.extend(sweep.settings.iter().map(|(key, values)| (key.clone(), values.join(", "))));
    let seeds: Vec<String> = sweep.seeds.iter().map(u64::to_string).collect();
    pairs.push(("seeds".into(), seeds.join(", ")));
    let record = outcomes.iter().find_map(|outcome| outcome.run.as_ref()).map(|run| &run.record);
    let precision = record.map_or(String::new(), |record| format!(", {}", record.precision));
    pairs.push(("device".into(), format!("{}{precision}", sweep.device)));
    let threads =
        if sweep.threads > 0 { format!("{} for each run", sweep.threads) } else { "each machine's own".into() };
    pairs.push(("threads".into(), threads));
    if !sweep.arguments.is_empty() {
        pairs.push((
            "more arguments".into(),
            sweep.arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        ));
    }
    let versions = record.into_iter().flat_map(|record| &record.versions);
    pairs.extend(versions.map(|(name, version)| (format!("{name}'s version"), version.clone())));
    list(&pairs)
}

/// A row for each combination with mean and spread of every result.
fn means(sweep: &Sweep, outcomes: &[Outcome]) -> Markup {
    let found = spreads(outcomes);
    let names = result_names(outcomes);
    if names.is_empty() {
        return html! { p { "No point has come to a result." } };
    }
    let varying = sweep.varying();
    // The seeds of a combination follow each other.
    let sets: Vec<&[Outcome]> = outcomes.chunk_by(|a, b| a.point.set == b.point.set).collect();
    let of: HashMap<(&str, &Set), &Spread> = found.iter().map(|one| ((one.result.as_str(), &one.set), one)).collect();
    let columns: Vec<Vec<Cell>> = names
        .iter()
        .map(|name| {
            let own: Vec<Option<&Spread>> =
                sets.iter().map(|set| of.get(&(*name, &set[0].point.set)).copied()).collect();
            let marks = best(name, &own.iter().map(|spread| spread.map(|spread| spread.mean)).collect::<Vec<_>>());
            let cell = |spread: &Option<&Spread>| spread.map_or("–".into(), mean);
            own.iter().map(cell).zip(marks).map(|(text, best)| Cell { best, ..text.into() }).collect()
        })
        .collect();
    let seeds = |set: &[Outcome]| set.iter().filter(|outcome| outcome.is_finished()).count().to_string();
    let keys = varying.iter().map(|at| sweep.settings[*at].0.clone());
    let head: Vec<String> =
        keys.chain(["seeds".to_string()]).chain(names.iter().map(|name| name.to_string())).collect();
    let row = |(i, set): (usize, &&[Outcome])| {
        let values = varying.iter().map(|at| set[0].point.set[*at].1.as_str().into());
        values.chain([seeds(set).into()]).chain(columns.iter().map(|column| column[i].clone())).collect()
    };
    let rows: Vec<Vec<Cell>> = sets.iter().enumerate().map(row).collect();
    html! {
        (cells(&head, &rows, Some("numbers results")))
        p.note {
            "Mean ± standard deviation over the seeds of the points that are finished. Marked is the best mean of a result: the \
             lowest of losses, errors, bounds and times, the highest of anything else; of learning rates and the like, none."
        }
        (meaning(&names))
    }
}

fn mean(spread: &Spread) -> String {
    let text = |x: f64| if spread.is_share { format!("{:.2}", 100.0 * x) } else { number(x) };
    let around = spread.spread.map_or(String::new(), |x| format!(" ± {}", text(x)));
    format!("{}{around}{}", text(spread.mean), if spread.is_share { " %" } else { "" })
}

/// The learning curves of all points, in one colour for each combination; of seeds alone, for each seed.
fn curves(sweep: &Sweep, outcomes: &[Outcome]) -> Vec<(String, Plot)> {
    let apart = told_apart(sweep, &sweep.varying());
    let seeds = sweep.varying().is_empty() && sweep.seeds.len() <= TOLD_APART;
    let mut bundles: Vec<Bundle> = vec![];
    for (outcome, run) in outcomes.iter().filter_map(|outcome| Some((outcome, outcome.run.as_ref()?))) {
        let point = &outcome.point;
        let name = if seeds { format!("seed {}", point.seed) } else { described(point, &apart) };
        match bundles.iter_mut().find(|bundle| bundle.name == name) {
            Some(bundle) => bundle.runs.push(&run.epochs),
            None => bundles.push(Bundle { name, runs: vec![&run.epochs] }),
        }
    }
    together::curves(&bundles)
}

/// The plots, the later ones folded up.
fn folded(plots: Vec<(String, Plot)>) -> Result<Markup, String> {
    let shown = figures(plots.iter().take(SHOWN).map(|(_, plot)| plot))?;
    let more = plots.len().saturating_sub(SHOWN);
    if more == 0 {
        return Ok(shown);
    }
    let rest = figures(plots.iter().skip(SHOWN).map(|(_, plot)| plot))?;
    Ok(html! { (shown) details { summary { (more) " more" } (rest) } })
}

/// A row for each point.
fn points(sweep: &Sweep, outcomes: &[Outcome], folder: &Path, links: bool) -> Markup {
    let varying = sweep.varying();
    let names = result_names(outcomes);
    let shares: Vec<bool> = names
        .iter()
        .map(|name| is_share(name, &outcomes.iter().filter_map(|outcome| outcome.value(name)).collect::<Vec<_>>()))
        .collect();
    let link = |file: String| (links && folder.join(&file).is_file()).then_some(file);
    let row = |outcome: &Outcome| -> Vec<Cell> {
        let point = &outcome.point;
        let mut row = vec![Cell { link: link(format!("{}/{FILE}", point.name)), ..point.name.as_str().into() }];
        row.extend(varying.iter().map(|at| point.set[*at].1.as_str().into()));
        row.push(point.seed.to_string().into());
        row.push(Cell { class: class(&outcome.status), ..outcome.status.as_str().into() });
        let seconds = outcome.run.as_ref().map(|run| run.record.seconds.max(0.0));
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        row.push(time.map_or(String::new(), duration).into());
        row.extend(names.iter().zip(&shares).map(|(name, share)| match outcome.value(name) {
            None => "–".into(),
            Some(value) if *share => per_cent(value, 2).into(),
            Some(value) => number(value).into(),
        }));
        row
    };
    let keys = varying.iter().map(|at| sweep.settings[*at].0.clone());
    let own = ["seed", "status", "time"].map(String::from);
    let head =
        [String::from("point")].into_iter().chain(keys).chain(own).chain(names.iter().map(|name| name.to_string()));
    let head: Vec<String> = head.collect();
    let rows: Vec<Vec<Cell>> = outcomes.iter().map(row).collect();
    let note = "The same rows are in sweep.csv, means and spreads in summary.csv, both with shares from 0 to 1.";
    html! { (cells(&head, &rows, Some("numbers results"))) p.note { (note) } (said(outcomes, &link)) }
}

/// What points have told that failed, each message once.
fn said(outcomes: &[Outcome], link: &dyn Fn(String) -> Option<String>) -> Markup {
    let mut messages: Vec<(&str, Vec<Markup>)> = vec![];
    for (outcome, text) in outcomes.iter().filter_map(|outcome| Some((outcome, outcome.said.as_deref()?))) {
        let point = Cell { link: link(format!("{}.txt", outcome.point.name)), ..outcome.point.name.as_str().into() };
        match messages.iter_mut().find(|(known, _)| *known == text) {
            Some((_, points)) => points.push(point.inner()),
            None => messages.push((text, vec![point.inner()])),
        }
    }
    html! {
        @if !messages.is_empty() { h3 { "What failed points said" } }
        @for (text, points) in messages { p { code { (text) } br; (joined(points)) } }
    }
}

/// The command line.
fn again(sweep: &Sweep) -> Markup {
    html! { pre { code { (commands::sweep_again(sweep)) } } }
}
