//! `report.html`: what was run, what it came to, and how to do it again.

use super::sections::{data, environment, last_epochs, reproduce, results, settings};
use super::source::sources;
use super::{curves, drawn};
use crate::run::{Record, Status, duration, epochs, is_under_way};
use crate::show::escaped;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Duration;

const STYLE: &str = include_str!("style.css");

/// The page about the run in `folder`.
pub fn page(folder: &Path) -> Result<String, String> {
    let record = Record::read(folder)?;
    let rows = epochs(folder);
    let title = format!("{} – {}", record.main, name(folder));
    let mut plots = String::new();
    for (_, plot) in curves::plots(&rows) {
        plots += &format!("<figure class=\"wide\">{}</figure>\n", String::from_utf8_lossy(&drawn(&plot)?));
    }
    let sections = [
        ("Results", results(&record)),
        ("Curves", if plots.is_empty() { plots } else { format!("<div class=\"plots\">\n{plots}</div>\n") }),
        ("The last epochs", last_epochs(&rows)),
        ("Settings", settings(&record)),
        ("Where and when", environment(&record)),
        ("Data", data(&record)),
        ("To run it again", reproduce(&record)),
        ("Script and modules", sources(folder, &record)),
    ];
    let section = |(head, text): &(&str, String)| format!("<section>\n<h2>{head}</h2>\n{text}</section>\n");
    let body: String = sections.iter().filter(|(_, text)| !text.is_empty()).map(section).collect();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n<p class=\"lead\">{}</p>\n{body}\
         <footer>Made by workbench {} from the folder {}.</footer>\n</main>\n</body>\n</html>\n",
        escaped(&title),
        escaped(&record.main),
        lead(folder, &record, &rows),
        env!("CARGO_PKG_VERSION"),
        escaped(&name(folder)),
    ))
}

/// The run's own name, also where the folder is given as `.`.
fn name(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    full.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// How the run stands, in a sentence or two.
fn lead(folder: &Path, record: &Record, rows: &[Map<String, Value>]) -> String {
    let last = rows.last().and_then(|row| row.get("seconds")).and_then(Value::as_f64).unwrap_or(0.0);
    let (class, words, seconds) = match record.status {
        Status::Finished => ("good", "finished", record.seconds),
        Status::Interrupted => ("open", "interrupted", record.seconds),
        Status::Failed => ("bad", "failed", record.seconds),
        Status::Running if is_under_way(folder) => ("open", "under way", last),
        Status::Running => ("bad", "ended without a word", last),
    };
    let mut text = format!("<span class=\"status {class}\">{words}</span>");
    if seconds > 0.0 {
        text += &format!(" after {}", duration(Duration::from_secs_f64(seconds)));
    }
    let epochs = match rows.len() {
        0 => String::new(),
        1 => ", 1 epoch".into(),
        n => format!(", {n} epochs"),
    };
    let sittings = match record.sittings.len() {
        0 | 1 => String::new(),
        n => format!(", in {n} sittings"),
    };
    let warnings: String =
        record.warnings.iter().map(|w| format!("</p>\n<p class=\"lead\"><span class=\"status bad\">warning</span> {}", escaped(w))).collect();
    let began = record.sittings.first().map_or(String::new(), |s| format!(". Begun {}", escaped(&s.began)));
    format!("{text}{epochs}{sittings}{began}.{warnings}")
}
