//! One row per sample, kept as it comes, so that an interrupted evaluation goes on where it stopped
//!
//! ```text
//! records.json     the header: what was evaluated, and how        timings.jsonl   what differs between two runs: seconds
//! records.jsonl    one row a line
//! records.parquet  the same rows, once all are there, with the header in the file's metadata
//! ```
//!
//! Rows are appended, a batch at a time, and synced. A line that was cut off is dropped when the file is opened again; a header
//! that differs means another evaluation, and is an error. The bytes depend on the rows alone, so a run that was interrupted
//! leaves the same files as one that was not, timings aside. Version 0.1 had the header in the first line, `{"header": {...}}`.

use crate::compute::files::replace;
use crate::text::plain_bytes;
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

/// A row, a header: values by name, sorted by it.
pub type Row = Map<String, Value>;

/// The records of one evaluation.
#[derive(Debug)]
pub struct Records {
    folder: PathBuf,
    header: Row,
    file: File,
    rows: Vec<Row>,
    /// The length of the file before the first row and behind each.
    ends: Vec<u64>,
}

/// What a folder holds.
struct Found {
    header: Row,
    rows: Vec<Row>,
    ends: Vec<u64>,
    /// Is the header the first line, as version 0.1 wrote it?
    is_old: bool,
}

/// The header and the rows of a folder's records.
pub fn read(folder: &Path) -> Result<(Row, Vec<Row>), String> {
    match find(folder)? {
        Some(found) => Ok((found.header, found.rows)),
        None => Err(format!("records: {} holds no records", folder.display())),
    }
}

/// What is in the folder, if it holds records.
fn find(folder: &Path) -> Result<Option<Found>, String> {
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
        Ok(Some(Found { header, rows, ends, is_old: true }))
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
    let Ok(Value::Object(header)) = serde_json::from_slice(plain_bytes(&head)) else {
        let path = folder.join("records.json");
        let path = path.display();
        return Err(format!(
            "records: {path} is damaged or no header of records; give another folder, or remove that one"
        ));
    };
    let (rows, ends) = parse(&path, &lines)?;
    // Somebody was stopped between the two files when an old one became one of today.
    if rows.first().is_some_and(|row| row.contains_key("header")) {
        return old(rows, ends);
    }
    Ok(Some(Found { header, rows, ends, is_old: false }))
}

impl Records {
    /// Begin records in `folder`, or go on with those that are there, which must have the same header.
    pub fn open(folder: &Path, header: Row) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        let path = folder.join("records.jsonl");
        let found = find(folder)?;
        let other = found.as_ref().map(|found| &found.header);
        let differs =
            |other: &&Row| other.keys().chain(header.keys()).find(|key| other.get(*key) != header.get(*key)).cloned();
        if let Some((key, other)) = other.and_then(|other| Some((differs(&other)?, other))) {
            let shown = |row: &Row| row.get(&key).map_or("nothing".to_string(), Value::to_string);
            return Err(format!(
                "records: {} holds another evaluation: its {key} is {}, this one's is {}; give another folder, or remove that one",
                path.display(),
                shown(other),
                shown(&header)
            ));
        }
        let Found { rows, ends, .. } = match found {
            Some(found) if !found.is_old => found,
            other => {
                let rows = other.map(|found| found.rows).unwrap_or_default();
                let lines: String = rows.iter().map(|row| format!("{}\n", Value::Object(row.clone()))).collect();
                let head = folder.join("records.json");
                replace(&head, format!("{:#}\n", json!(header)).as_bytes()).map_err(|e| failed(&head, &e))?;
                replace(&path, lines.as_bytes()).map_err(|e| failed(&path, &e))?;
                let (rows, ends) = parse(&path, lines.as_bytes())?;
                Found { header: header.clone(), rows, ends, is_old: false }
            }
        };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| failed(&path, &e))?;
        let mut records = Self { folder: folder.into(), header, file, rows, ends };
        records.truncate(records.rows.len())?;
        Ok(records)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Keep the first `count` rows only.
    pub fn truncate(&mut self, count: usize) -> Result<(), String> {
        let count = count.min(self.rows.len());
        self.rows.truncate(count);
        self.ends.truncate(count + 1);
        let end = self.ends[count];
        let mut cut = || {
            self.file.set_len(end)?;
            self.file.seek(std::io::SeekFrom::Start(end))?;
            self.file.sync_data()
        };
        cut().map_err(|e| failed(&self.path(), &e))
    }

    /// Append rows, and what they took to the timings.
    pub fn add(&mut self, rows: Vec<Row>, timing: &Row) -> Result<(), String> {
        let mut text = String::new();
        let (mut end, mut ends) = (self.ends.last().copied().unwrap_or(0), vec![]);
        for row in &rows {
            let line = format!("{}\n", Value::Object(row.clone()));
            end += line.len() as u64;
            ends.push(end);
            text += &line;
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // What was written in part is cut off again, as far as the disk lets us.
            let _ = self.truncate(self.rows.len());
            return Err(failed(&self.path(), &e));
        }
        self.rows.extend(rows);
        self.ends.extend(ends);
        let path = self.folder.join("timings.jsonl");
        let line = format!("{}\n", Value::Object(timing.clone()));
        let append = || OpenOptions::new().create(true).append(true).open(&path)?.write_all(line.as_bytes());
        append().map_err(|e: std::io::Error| failed(&path, &e))
    }

    /// Write all rows as `records.parquet`; returns the path.
    pub fn parquet(&self) -> Result<PathBuf, String> {
        let path = self.folder.join("records.parquet");
        let bytes = super::parquet::encode(&self.header, &self.rows)?;
        replace(&path, &bytes).map_err(|e| failed(&path, &e))?;
        Ok(path)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("records.jsonl")
    }
}

fn failed(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("records: {}: {why}", path.display())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Value) -> Row {
        match value {
            Value::Object(row) => row,
            _ => Row::new(),
        }
    }

    #[test]
    fn cut_off_anywhere_and_completed_the_file_is_the_same() {
        let rows: Vec<Row> =
            (0..5).map(|i| row(json!({ "index": i, "margin": 0.1 * f64::from(i), "verdict": "open" }))).collect();
        let header = row(json!({ "eps": 0.5, "kind": "rigorous" }));
        let root = tempfile::tempdir().expect("a temporary folder");
        let whole = root.path().join("whole");
        Records::open(&whole, header.clone()).and_then(|mut r| r.add(rows.clone(), &Row::new())).expect("written");
        let expected = std::fs::read(whole.join("records.jsonl")).expect("read");
        let head = std::fs::read(whole.join("records.json")).expect("read");
        assert!(expected.starts_with(b"{\"index\":0"), "a reader of JSON lines finds rows alone");
        let old = [format!("{}\n", json!({ "header": header })).as_bytes(), &expected].concat();
        // A file of version 0.1, cut off anywhere, becomes one of today.
        let cuts = (0..=expected.len()).map(|cut| (cut, false)).chain((0..=old.len()).map(|cut| (cut, true)));
        for (cut, is_old) in cuts {
            let folder = root.path().join(format!("cut{cut}{is_old}"));
            std::fs::create_dir(&folder).expect("made");
            std::fs::write(folder.join("records.jsonl"), if is_old { &old[..cut] } else { &expected[..cut] })
                .expect("written");
            if !is_old {
                std::fs::write(folder.join("records.json"), &head).expect("written");
            }
            let mut records = Records::open(&folder, header.clone()).expect("opened");
            let done = records.rows().len();
            records.add(rows[done..].to_vec(), &Row::new()).expect("written");
            assert_eq!(std::fs::read(folder.join("records.jsonl")).expect("read"), expected, "cut at {cut}");
            assert_eq!(std::fs::read(folder.join("records.json")).expect("read"), head, "cut at {cut}");
            assert_eq!(read(&folder), Ok((header.clone(), rows.clone())));
        }
        std::fs::write(root.path().join("cut0true/records.jsonl"), &old).expect("written");
        std::fs::remove_file(root.path().join("cut0true/records.json")).expect("removed");
        assert_eq!(
            read(&root.path().join("cut0true")),
            Ok((header.clone(), rows.clone())),
            "an old one is read as it is"
        );
        // Edited on Windows: with a mark, and other ends of lines.
        let windows = format!("\u{feff}{}", String::from_utf8_lossy(&expected).replace('\n', "\r\n"));
        std::fs::write(whole.join("records.jsonl"), &windows).expect("written");
        assert_eq!(read(&whole).expect("read"), (header.clone(), rows.clone()));
        let mut records = Records::open(&whole, header.clone()).expect("opened");
        records.truncate(2).and_then(|()| records.add(rows[2..].to_vec(), &Row::new())).expect("written");
        assert_eq!(read(&whole).expect("read"), (header.clone(), rows));
        let other = Records::open(&whole, row(json!({ "eps": 0.6, "kind": "rigorous" }))).map(|_| ());
        assert!(other.is_err_and(|e| e.contains("its eps is 0.5, this one's is 0.6")));
        std::fs::write(whole.join("records.jsonl"), b"hello\n").expect("written");
        assert!(Records::open(&whole, header.clone()).is_err());
        std::fs::remove_file(whole.join("records.json")).expect("removed");
        assert!(Records::open(&whole, header.clone()).is_err());
        std::fs::write(whole.join("records.jsonl"), b"hello").expect("written");
        assert!(Records::open(&whole, header).is_err(), "what is no beginning of records is nobody's to write over");
    }
}
