//! `report.html`: what was run, what it came to, and how to do it again.

use super::by_class::by_class;
use super::closest::closest;
use super::curves;
use super::drawings::drawings;
use super::frame::{document, figures, name};
use super::printed::printed;
use super::robustness::{evaluations, robustness};
use super::sections::{data, environment, last_epochs, reproduce, results, settings};
use super::source::sources;
use crate::run::{Record, Status, epochs, is_under_way, time};
use maud::{Markup, html};
use serde_json::{Map, Value};
use std::path::Path;

/// The page about the run in `folder`.
pub fn page(folder: &Path) -> Result<String, String> {
    let record = Record::read(folder)?;
    let rows = epochs(folder);
    let all = evaluations(&record);
    let drawn = curves::plots(&rows);
    let sections = [
        ("Results", html! { (results(&record)) (drawings(folder, &record)) }),
        ("By class", by_class(&all)),
        ("Closest to the edge", closest(folder, &record)),
        ("Network", html! { @if let Some(network) = &record.network { pre.printed.wide { (network) } } }),
        ("Curves", figures(drawn.iter().map(|(_, plot)| plot))?),
        ("The last epochs", last_epochs(&rows)),
        ("Settings", settings(&record)),
        ("Where and when", environment(&record)),
        ("Data", data(&record)),
        ("To run it again", reproduce(&record)),
        ("What was printed", printed(folder)),
        ("Script and modules", sources(folder, &record)),
    ];
    let own = name(folder);
    let lead = html! { (lead(folder, &record, &rows)) (robustness(&record, &all)?) };
    let title = format!("{} – {own}", record.main);
    Ok(document(&title, &record.main, &lead, &sections, &format!("from the folder {own}")))
}

/// How the run stands, in a sentence or two.
fn lead(folder: &Path, record: &Record, rows: &[Map<String, Value>]) -> Markup {
    let last = rows.last().and_then(|row| row.get("seconds")).and_then(Value::as_f64).unwrap_or(0.0);
    let (class, words, seconds) = match record.status {
        Status::Finished => ("good", "finished", record.seconds),
        Status::Interrupted => ("open", "interrupted", record.seconds),
        Status::Failed => ("bad", "failed", record.seconds),
        Status::Running if is_under_way(folder) => ("open", "under way", last),
        Status::Running => ("bad", "ended without a word", last),
    };
    let epochs = match rows.len() {
        0 => String::new(),
        1 => ", 1 epoch".into(),
        n => format!(", {n} epochs"),
    };
    let sittings = match record.sittings.len() {
        0 | 1 => String::new(),
        n => format!(", in {n} sittings"),
    };
    let warnings = record.warnings.iter().map(|warning| ("warning", warning));
    html! {
        p.lead {
            span class={ "status " (class) } { (words) }
            @if seconds > 0.0 { " after " (time(seconds)) }
            (epochs) (sittings)
            @if let Some(first) = record.sittings.first() { ". Begun " (first.began) }
            "."
        }
        @for (kind, text) in record.error.iter().map(|error| ("error", error)).chain(warnings) {
            p.lead { span.status.bad { (kind) } " " (text) }
        }
    }
}
