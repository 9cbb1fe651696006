//! The sections of the page: tables of what `run.json` and the metrics say.

use super::by_class::BY_CLASS;
use super::tables::{list, meaning, table};
use super::words::value;
use crate::run::{RESERVED, Record, Setting, Sitting, commands, time};
use maud::{Markup, html};
use serde_json::{Map, Value};

/// How many epochs of each loop are shown in numbers.
const LAST: usize = 5;

/// The order of columns of results; others follow.
const ORDER: [&str; 9] = ["network", "method", "procedure", "bound", "eps", "clean", "pgd", "apgd", "certified"];

/// More letters than these make a column too wide.
const LONG: usize = 16;

/// What the script stated, and the best weights by validation.
pub fn results(record: &Record) -> Markup {
    let stated: Vec<&Map<String, Value>> = record.results.iter().filter_map(Value::as_object).collect();
    let mut names: Vec<&str> = vec![];
    // Which network and how first, then its numbers, then what else the script has stated.
    let stated_names = || stated.iter().flat_map(|result| result.keys().map(String::as_str));
    for name in ORDER.into_iter().filter(|name| stated_names().any(|n| n == *name)).chain(stated_names()) {
        // Counts class by class have a section of their own.
        if !names.contains(&name) && name != BY_CLASS {
            names.push(name);
        }
    }
    // A long text that all of them have stands once, below the table.
    let long = |name: &str| {
        let text = stated.first()?.get(name)?.as_str()?;
        let all = stated.iter().all(|result| result.get(name).and_then(Value::as_str) == Some(text));
        (all && text.chars().count() > LONG).then(|| (name.to_string(), text.to_string()))
    };
    let below: Vec<(String, String)> = names.iter().filter_map(|name| long(name)).collect();
    names.retain(|name| !below.iter().any(|(long, _)| long == name));
    let cell = |result: &Map<String, Value>, name: &str| result.get(name).map_or("–".into(), |v| value(name, v));
    let rows: Vec<Vec<String>> =
        stated.iter().map(|result| names.iter().map(|name| cell(result, name)).collect()).collect();
    html! {
        @if !rows.is_empty() {
            (table(&names, &rows, true))
            @if !below.is_empty() { (list(&below)) }
            (meaning(&names))
        }
        @if let Some(weights) = &record.weights {
            p { "Weights of the last epoch: " code { (weights) } "." }
        }
        @for best in &record.best {
            p {
                "Best by images set apart for validation: epoch " (best.epoch)
                @if !best.label.is_empty() { " of " code { (best.label) } }
                ", score " (value("", &best.score.into())) ", " code { (best.file) }
                ". The results above are the last epoch's."
            }
        }
    }
}

/// The last epochs of each loop in numbers.
pub fn last_epochs(rows: &[Map<String, Value>]) -> Markup {
    let label = |row: &Map<String, Value>| row.get("loop").and_then(Value::as_str).unwrap_or("").to_string();
    let mut loops: Vec<String> = vec![];
    for row in rows {
        if !loops.contains(&label(row)) {
            loops.push(label(row));
        }
    }
    html! {
        @for name in &loops {
            @if !name.is_empty() { h3 { (name) } }
            (last_of_a_loop(&rows.iter().filter(|row| label(row) == *name).collect::<Vec<_>>()))
        }
    }
}

fn last_of_a_loop(rows: &[&Map<String, Value>]) -> Markup {
    let shown = &rows[rows.len().saturating_sub(LAST)..];
    let mut names: Vec<&str> = vec!["epoch"];
    for key in shown.iter().flat_map(|row| row.keys()) {
        if !RESERVED.contains(&key.as_str()) && !names.contains(&key.as_str()) {
            names.push(key);
        }
    }
    // A column for each epoch: there are more metrics than epochs here.
    let cell = |row: &Map<String, Value>, name: &str| row.get(name).map_or(String::new(), |v| value(name, v));
    let line = |metric: &&str| {
        let cells = shown.iter().map(|row| cell(row, metric));
        std::iter::once(metric.to_string()).chain(cells).collect::<Vec<_>>()
    };
    let lines: Vec<Vec<String>> = names.iter().map(line).collect();
    let head: Vec<&str> = lines[0].iter().map(String::as_str).collect();
    table(&head, &lines[1..], true)
}

/// Settings, with those marked that the command line gave.
pub fn settings(record: &Record) -> Markup {
    html! {
        @if !record.settings.is_empty() {
            div.wide {
                table {
                    tr { th { "setting" } th { "value" } th {} }
                    @for Setting { key, value, given, .. } in &record.settings {
                        tr {
                            td { (key) }
                            td { @if *given { mark { (value) } } @else { (value) } }
                            td { @if *given { "set by --set" } }
                        }
                    }
                }
            }
        }
    }
}

/// Seed, device, versions, revision, sittings, and what recording cost.
pub fn environment(record: &Record) -> Markup {
    let mut pairs = vec![
        ("script".to_string(), record.script.clone()),
        ("seed".into(), record.seed.to_string()),
        ("device".into(), format!("{}, {}", record.device, record.precision)),
        ("threads".into(), record.threads.to_string()),
    ];
    pairs.extend(record.versions.iter().map(|(name, version)| (name.clone(), version.clone())));
    let revision = match &record.git {
        None => "the run was started outside a repository".to_string(),
        Some(git) => match git.dirty {
            Some(false) => git.revision.clone(),
            Some(true) => format!("{}, and files had been changed", git.revision),
            None => format!("{}, unknown whether files had been changed", git.revision),
        },
    };
    pairs.push(("git revision".into(), revision));
    if record.seconds > 0.0 {
        let share = 100.0 * record.recording_seconds / record.seconds;
        let took = time(record.seconds);
        pairs.push(("time".into(), format!("{took}, of which recording took {share:.1} % (without this page)")));
    }
    let row = |s: &Sitting| vec![s.began.clone(), s.from.clone(), s.threads.to_string()];
    let rows: Vec<_> = record.sittings.iter().map(row).collect();
    html! {
        (list(&pairs))
        @if !rows.is_empty() { (table(&["begun", "from", "threads"], &rows, false)) }
    }
}

/// The data sets by their checksums.
pub fn data(record: &Record) -> Markup {
    let mut rows = vec![];
    for data in &record.data {
        for (split, (images, sum)) in &data.splits {
            rows.push(vec![data.name.clone(), split.clone(), images.to_string(), sum.clone(), data.source.clone()]);
        }
    }
    if rows.is_empty() {
        return Markup::default();
    }
    table(&["data set", "split", "images", "SHA-256 of images and labels", "from"], &rows, false)
}

/// The command line.
pub fn reproduce(record: &Record) -> Markup {
    html! {
        pre { code { (commands::again(record)) } }
        p {
            "with the script and modules below, which lie in the run's folder as they were (" code { "source/" } ", "
            code { "stdlib/" } "), and the data with the checksums above. On the CPU the same version with the same number of \
            threads and the same kind of processor gives the same numbers."
        }
    }
}
