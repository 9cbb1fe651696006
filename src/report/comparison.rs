//! The page about several runs beside each other: in what they differ, what they came to, how they learnt.

use super::frame::{document, figures};
use super::robustness::{evaluations, first, radii};
use super::tables::{Cell, cells};
use super::together::{self, Bundle};
use crate::run::StoredRun;
use crate::run::archive::{Line, compare};
use crate::run::names::best;
use crate::show::Series;
use crate::show::plot::TOLD_APART;
use maud::html;

/// The page about `runs`.
pub fn comparison(runs: &[StoredRun]) -> Result<String, String> {
    let (settings, results) = compare(runs);
    let head = |first: &str| -> Vec<String> {
        std::iter::once(first.to_string()).chain(runs.iter().map(|run| run.name.clone())).collect()
    };
    let row = |line: &Line| -> Vec<Cell> {
        let values = line.values.iter().map(|value| value.clone().unwrap_or("–".into()).into());
        std::iter::once(line.name.as_str().into()).chain(values).collect()
    };
    let mut differ: Vec<Vec<Cell>> = settings.iter().map(row).collect();
    differ.push([Cell::from("status")].into_iter().chain(runs.iter().map(|run| run.status().into())).collect());
    let all: Vec<Vec<(String, f64)>> = runs.iter().map(StoredRun::results).collect();
    let marked = |line: &Line| {
        let value = |run: &Vec<(String, f64)>| run.iter().find(|(name, _)| *name == line.name).map(|(_, value)| *value);
        let marks = best(&line.name, &all.iter().map(value).collect::<Vec<_>>());
        let mut cells = row(line);
        cells.iter_mut().skip(1).zip(marks).for_each(|(cell, best)| cell.best = best);
        cells
    };
    let results = match results.as_slice() {
        [] => html! { p { "No results and no epochs to compare." } },
        results => html! {
            (cells(&head("result"), &results.iter().map(marked).collect::<Vec<_>>(), Some("numbers")))
            p.note {
                "Marked is the best of a line: the lowest of losses, errors, bounds and times, the highest of anything else; of \
                 learning rates and the like, none."
            }
        },
    };
    let bundles: Vec<Bundle> =
        runs.iter().map(|run| Bundle { name: run.name.clone(), runs: vec![&run.epochs] }).collect();
    let curves = together::curves(&bundles);
    // Of each run what its own page shows first.
    let certified = |run: &StoredRun| {
        let all = evaluations(&run.record);
        let shown = first(&all)?;
        let of = [shown.name.as_str(), shown.bound().filter(|bound| !shown.name.contains(bound)).unwrap_or("")];
        let of = of.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
        let name = if of.is_empty() { run.name.clone() } else { format!("{}: {of}", run.name) };
        Some(Series { name, points: shown.curve("certified") })
    };
    let certified: Vec<Series> = runs.iter().filter_map(certified).collect();
    let parts = certified.chunks(TOLD_APART).map(|series| radii("Certified".into(), series.to_vec()));
    let sections = [
        ("What differs", cells(&head("setting"), &differ, None)),
        ("Results", results),
        ("Certified against the radius", figures(&parts.collect::<Vec<_>>())?),
        ("Learning curves", figures(curves.iter().map(|(_, plot)| plot))?),
    ];
    let title = format!("{} runs compared", runs.len());
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let lead = html! { p.lead { (names.join(", ")) } };
    Ok(document(&title, &title, &lead, &sections, "from the folders or packs of the runs"))
}
