//! The images of a certified evaluation that are closest to the edge: certified with the smallest margins, and open with the largest.

use super::curves::in_order;
use super::drawings::{image, pictured};
use super::inside::{is_name, is_plain};
use super::tables::table;
use super::words::value;
use crate::run::Record;
use crate::run::records::{self, Found};
use crate::show::short;
use maud::{Markup, html};
use serde_json::{Map, Value};
use std::path::Path;

/// No records of ours are as large.
const LARGEST: u64 = 1 << 30;

/// So many of each kind.
const COUNT: usize = 8;

/// What is shown of a row: its key and the column's head.
const COLUMNS: [(&str, &str); 8] = [
    ("index", "image"),
    ("label", "label"),
    ("prediction", "predicted"),
    ("margin", "clean margin"),
    ("certified_margin", "certified margin"),
    ("stage", "stage"),
    ("attack", "attack"),
    ("radius", "radius"),
];

/// Tables of the records that lie in the run's folder.
pub fn closest(folder: &Path, record: &Record) -> Markup {
    let is_folder = |name: &Path| folder.join(name).symlink_metadata().is_ok_and(|about| about.is_dir());
    let inside = record.records.iter().filter(|name| is_name(Path::new(name)) && is_folder(Path::new(name)));
    let drawn =
        |name: &str| record.drawings.contains(&pictured(name)).then(|| image(folder, &pictured(name))).flatten();
    let readable = |name: &str| {
        let files = ["records.json", "records.jsonl"].map(|file| folder.join(name).join(file));
        files.iter().all(|file| file.symlink_metadata().is_err() || is_plain(file, LARGEST))
    };
    let found: Vec<(&str, Found)> = in_order(inside.map(String::as_str))
        .into_iter()
        .filter(|name| readable(name))
        // Records that cannot be read are named by whoever reads them on purpose.
        .filter_map(|name| Some((name, records::read(&folder.join(name)).ok()?)))
        .collect();
    html! {
        @for (name, found) in &found {
            (tables(name, found))
            @if let Some(source) = drawn(name) {
                p.note { "The images of these tables, in their order:" }
                p { img.closest alt="images" src=(source); }
            }
        }
    }
}

fn tables(name: &str, found: &Found) -> Markup {
    let rows = &found.rows;
    let kind = found.header.get("kind").and_then(Value::as_str);
    let eps = found.header.get("eps").and_then(Value::as_f64);
    let of = |verdict: &str| {
        rows.iter().filter(|row| row.get("verdict").and_then(Value::as_str) == Some(verdict)).collect::<Vec<_>>()
    };
    let margin = |row: &&Map<String, Value>| row.get("certified_margin").and_then(Value::as_f64);
    let (mut certified, mut open) = (of("certified"), of("open"));
    certified.retain(|row| margin(row).is_some());
    open.retain(|row| margin(row).is_some());
    certified.sort_by(|a, b| margin(a).partial_cmp(&margin(b)).unwrap_or(std::cmp::Ordering::Equal));
    open.sort_by(|a, b| margin(b).partial_cmp(&margin(a)).unwrap_or(std::cmp::Ordering::Equal));
    html! {
        @for (head, rows) in [("Certified, the smallest margins", certified), ("Open, the largest margins", open)] {
            @if !rows.is_empty() {
                h3 { (head) }
                (shown(&rows[..rows.len().min(COUNT)]))
            }
        }
        p.note {
            @if let Some(kind) = kind { (kind) @if let Some(eps) = eps { ", eps " (short(eps)) } ". " }
            "All of them: " code { (name) } "."
        }
    }
}

fn shown(rows: &[&Map<String, Value>]) -> Markup {
    let has = |key: &str| rows.iter().any(|row| row.get(key).is_some_and(|value| !value.is_null() && value != "none"));
    // A text that says the same of all of them says nothing of any.
    let alike = |key: &str| {
        rows.len() > 1
            && rows[0].get(key).is_some_and(Value::is_string)
            && rows.iter().all(|row| row.get(key) == rows[0].get(key))
    };
    let columns: Vec<_> = COLUMNS.iter().filter(|(key, _)| has(key) && !(*key == "attack" && alike(key))).collect();
    let cell = |row: &Map<String, Value>, key: &str| row.get(key).map_or("–".into(), |v| value("", v));
    let head: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|(key, _)| cell(row, key)).collect()).collect();
    table(&head, &rows, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_smallest_certified_margins_come_first_and_what_has_none_is_left_out() {
        let row = |index: i64, verdict: &str, margin: Value| json!({ "index": index, "verdict": verdict, "certified_margin": margin, "stage": "local", "attack": "none" });
        let rows = [
            row(1, "certified", json!(0.5)),
            row(2, "certified", json!(0.25)),
            row(3, "open", json!(-2.0)),
            row(4, "open", json!(-0.125)),
            row(5, "wrong", Value::Null),
            row(6, "open", Value::Null),
        ];
        let rows = rows.iter().map(|row| row.as_object().expect("a row").clone()).collect();
        let header = json!({ "kind": "estimate", "eps": 0.5 }).as_object().expect("a header").clone();
        let found = Found { header, rows, ends: vec![], closing: None, is_sealed: false };
        let text = tables("records", &found).into_string();
        assert!(text.contains("estimate, eps 0.5. All of them"), "{text}");
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(
            at("<td>2</td>") < at("<td>1</td>")
                && at("<td>1</td>") < at("<td>4</td>")
                && at("<td>4</td>") < at("<td>3</td>")
        );
        assert!(
            !text.contains("<td>5</td>") && !text.contains("<td>6</td>") && !text.contains("<th>attack</th>"),
            "{text}"
        );
    }
}
