//! What a folder of records holds, checked row by row: whatever reads records checks them. Records of before 0.2 have
//! no digests, and 0.1 had the header in the first line.

use super::digest::Seal;
use super::row::Row;
use crate::base::text::plain_bytes;
use serde_json::Value;
use std::path::Path;

/// What a folder holds.
#[derive(Debug, PartialEq)]
pub struct Found {
    /// Without what closes it.
    pub header: Row,
    /// Without their digests.
    pub rows: Vec<Row>,
    /// The length of the file before the first row and behind each.
    pub ends: Vec<u64>,
    pub closing: Option<Value>,
    /// Do the rows carry digests, which fit? Those of before 0.2 do not.
    pub is_sealed: bool,
}

/// The records of a folder.
pub fn read(folder: &Path) -> Result<Found, String> {
    find(folder)?.ok_or_else(|| format!("records: {} holds no records", folder.display()))
}

/// What is in the folder, if it holds records.
pub fn find(folder: &Path) -> Result<Option<Found>, String> {
    let there = |name: &str| -> Result<Option<Vec<u8>>, String> {
        let path = folder.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&path, &e)),
        }
    };
    let (head, lines) = (there("records.json")?, there("records.jsonl")?);
    let path = folder.join("records.jsonl");
    let lines = lines.unwrap_or_default();
    let text = plain_bytes(&lines);
    // The header in the first line, as version 0.1 wrote it, and the rows behind it.
    let old = |mut rows: Vec<Row>, mut ends: Vec<u64>| {
        let header = if rows.is_empty() { None } else { rows.remove(0).remove("header") };
        let Some(Value::Object(header)) = header else {
            return Err(format!("records: {} is no file of records; give another folder", path.display()));
        };
        ends.remove(0);
        Ok(Some(Found { header, rows, ends, closing: None, is_sealed: false }))
    };
    let Some(head) = head else {
        const BEGINNING: &[u8] = b"{\"header\":";
        let begins = text.starts_with(BEGINNING) || BEGINNING.starts_with(text);
        // A header that was cut off is as good as none.
        if begins && !text.contains(&b'\n') {
            return Ok(None);
        }
        let (rows, ends) = parse(&path, &lines)?;
        return old(rows, ends);
    };
    let Ok(Value::Object(mut header)) = serde_json::from_slice(plain_bytes(&head)) else {
        let path = folder.join("records.json");
        let path = path.display();
        return Err(format!(
            "records: {path} is damaged or no header of records; give another folder, or remove that one"
        ));
    };
    let (rows, ends) = parse(&path, &lines)?;
    // Somebody was stopped between the two files when one of 0.1 became a later one.
    if rows.first().is_some_and(|row| row.contains_key("header")) {
        return old(rows, ends);
    }
    let is_sealed = header.contains_key(FORM_KEY);
    let closing = header.remove("closing");
    let seal = Seal::of(&header);
    let rows = if is_sealed { rows.into_iter().map(|row| seal.opened(row)).collect() } else { Ok(rows) };
    let told = |why: String| format!("records: {}: {why}; {WAY_OUT}", path.display());
    let rows: Vec<Row> = rows.map_err(told)?;
    closing.as_ref().map_or(Ok(()), |closing| seal.check(closing, &rows)).map_err(told)?;
    Ok(Some(Found { header, rows, ends, closing, is_sealed }))
}

/// The entry of the header that says how rows are written.
pub const FORM_KEY: &str = "form";

/// What to do about records that somebody has changed.
const WAY_OUT: &str = "bring the file back as it was, or evaluate anew into another folder";

/// The whole lines, and where the first begins and each ends.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Row>, Vec<u64>), String> {
    // Ends count from the first byte of the file.
    let mut at = bytes.len() - plain_bytes(bytes).len();
    let (mut rows, mut ends) = (vec![], vec![at as u64]);
    // What follows the last line end was cut off.
    while let Some(length) = bytes[at..].iter().position(|b| *b == b'\n') {
        let line = &bytes[at..at + length];
        at += length + 1;
        let bad = || {
            format!(
                "records: {}: line {} is damaged; give another folder, or remove that one",
                path.display(),
                ends.len()
            )
        };
        let Ok(Value::Object(row)) = serde_json::from_slice(line) else { return Err(bad()) };
        rows.push(row);
        ends.push(at as u64);
    }
    Ok((rows, ends))
}

/// An error about the file or folder at `path`.
pub fn failed(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("records: {}: {why}", path.display())
}
