//! One row per sample, kept as it comes, so that an interrupted evaluation goes on where it stopped
//!
//! ```text
//! records.jsonl    {"header": {...}}, then one row a line         timings.jsonl   what differs between two runs: seconds
//! records.parquet  the same rows, once all are there
//! ```
//!
//! Rows are appended, a batch at a time, and synced. A line that was cut off is dropped when the file is opened again; a header
//! that differs means another evaluation, and is an error. The bytes depend on the rows alone, so a run that was interrupted
//! leaves the same files as one that was not, timings aside.

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
    file: File,
    rows: Vec<Row>,
    /// The length of the file behind the header and behind each row.
    ends: Vec<u64>,
}

/// The header and the rows of a folder's records.
pub fn read(folder: &Path) -> Result<(Row, Vec<Row>), String> {
    let path = folder.join("records.jsonl");
    let text = std::fs::read(&path).map_err(|e| failed(&path, &e))?;
    let (header, rows, _) = parse(&path, &text)?;
    Ok((header, rows))
}

impl Records {
    /// Begin records in `folder`, or go on with those that are there, which must have the same header.
    pub fn open(folder: &Path, header: Row) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        let path = folder.join("records.jsonl");
        let there = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(e) => return Err(failed(&path, &e)),
        };
        let there = plain_bytes(&there);
        // A header that was cut off is as good as none.
        if !there.contains(&b'\n') {
            let line = format!("{}\n", json!({ "header": header }));
            if !line.as_bytes().starts_with(there) {
                return Err(format!("records: {} is no file of records; give another folder", path.display()));
            }
            replace(&path, line.as_bytes()).map_err(|e| failed(&path, &e))?;
        }
        let bytes = std::fs::read(&path).map_err(|e| failed(&path, &e))?;
        let (found, rows, ends) = parse(&path, &bytes)?;
        if let Some(key) = found.keys().chain(header.keys()).find(|key| found.get(*key) != header.get(*key)) {
            let shown = |row: &Row| row.get(key).map_or("nothing".to_string(), Value::to_string);
            return Err(format!(
                "records: {} holds another evaluation: its {key} is {}, this one's is {}; give another folder, or remove that one",
                path.display(),
                shown(&found),
                shown(&header)
            ));
        }
        let file = OpenOptions::new().write(true).open(&path).map_err(|e| failed(&path, &e))?;
        let mut records = Self { folder: folder.into(), file, rows, ends };
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
        let bytes = super::parquet::encode(&self.rows)?;
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

/// The header, the whole rows, and where header and each row end.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Row, Vec<Row>, Vec<u64>), String> {
    let (mut header, mut rows, mut ends) = (None, vec![], vec![]);
    // Ends count from the first byte of the file.
    let mut at = bytes.len() - plain_bytes(bytes).len();
    // What follows the last line end was cut off.
    while let Some(length) = bytes[at..].iter().position(|b| *b == b'\n') {
        let line = &bytes[at..at + length];
        at += length + 1;
        let bad = || {
            format!(
                "records: {}: line {} is damaged; give another folder, or remove that one",
                path.display(),
                ends.len() + 1
            )
        };
        let Ok(Value::Object(mut row)) = serde_json::from_slice(line) else { return Err(bad()) };
        if header.is_some() {
            rows.push(row);
        } else {
            match row.remove("header") {
                Some(Value::Object(found)) => header = Some(found),
                _ => return Err(bad()),
            }
        }
        ends.push(at as u64);
    }
    match header {
        Some(header) => Ok((header, rows, ends)),
        None => Err(format!("records: {} is no file of records", path.display())),
    }
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
        for cut in 0..=expected.len() {
            let folder = root.path().join(format!("cut{cut}"));
            std::fs::create_dir(&folder).expect("made");
            std::fs::write(folder.join("records.jsonl"), &expected[..cut]).expect("written");
            let mut records = Records::open(&folder, header.clone()).expect("opened");
            let done = records.rows().len();
            records.add(rows[done..].to_vec(), &Row::new()).expect("written");
            assert_eq!(std::fs::read(folder.join("records.jsonl")).expect("read"), expected, "cut at {cut}");
        }
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
        assert!(Records::open(&whole, header).is_err());
    }
}
