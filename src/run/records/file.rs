//! One row per sample, kept as it comes, so that an interrupted evaluation goes on where it stopped
//!
//! ```text
//! records.json     the header: what was evaluated, and how        timings.jsonl   what differs between two runs: seconds
//!                  `closing` once all rows are there: how many, and a digest over them
//! records.jsonl    one row a line, each with a digest ([`super::digest`])
//! records.parquet  the same rows, once all are there, with the header in the file's metadata
//! ```
//!
//! Rows are appended, a batch at a time, and synced. A line that was cut off is dropped when the file is opened again;
//! a header that differs means another evaluation, and is an error, as is a row that is not as it was written. The
//! bytes depend on the rows alone, so a run that was interrupted leaves the same files as one that was not, timings
//! aside. Records of before 0.2 have no digests, and 0.1 had the header in the first line, `{"header": {...}}`: these
//! are read, and nobody goes on with them.

use super::digest::{FORM, Seal};
use super::found::{FORM_KEY, failed, find};
use super::row::Row;
use crate::base::files::replace;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

/// The records of one evaluation.
#[derive(Debug)]
pub struct Records {
    folder: PathBuf,
    header: Row,
    seal: Seal,
    /// Does the header say that all rows are there?
    is_closed: bool,
    file: File,
    /// Without their digests.
    rows: Vec<Row>,
    /// The length of the file before the first row and behind each.
    ends: Vec<u64>,
}

impl Records {
    /// Begin records in `folder`, or go on with those that are there, which must have the same header.
    pub fn open(folder: &Path, mut header: Row) -> Result<Self, String> {
        header.insert(FORM_KEY.into(), FORM.into());
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        let path = folder.join("records.jsonl");
        let found = find(folder)?;
        if found.as_ref().is_some_and(|found| !found.is_sealed) {
            return Err(format!(
                "records: {} is of an earlier version, whose rows carry no digests: it can be read and merged, and not gone on with; \
                 give another folder",
                path.display()
            ));
        }
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
        let seal = Seal::of(&header);
        let (rows, ends, is_closed) = match found {
            Some(found) => (found.rows, found.ends, found.closing.is_some()),
            None => {
                write_header(folder, &header)?;
                replace(&path, b"").map_err(|e| failed(&path, &e))?;
                (vec![], vec![0], false)
            }
        };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| failed(&path, &e))?;
        let mut records = Self { folder: folder.into(), header, seal, is_closed, file, rows, ends };
        records.cut(records.rows.len())?;
        Ok(records)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does the header say that all rows are there?
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// All rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Keep the first `count` rows only.
    pub fn truncate(&mut self, count: usize) -> Result<(), String> {
        self.reopen()?;
        self.cut(count)
    }

    /// All rows are there: the header says so.
    pub fn close(&mut self) -> Result<(), String> {
        let mut header = self.header.clone();
        header.insert("closing".into(), self.seal.closing(&self.rows));
        write_header(&self.folder, &header)?;
        self.is_closed = true;
        Ok(())
    }

    /// The rows are to be others than those that it was closed with.
    fn reopen(&mut self) -> Result<(), String> {
        if self.is_closed {
            write_header(&self.folder, &self.header)?;
            self.is_closed = false;
        }
        Ok(())
    }

    fn cut(&mut self, count: usize) -> Result<(), String> {
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
        self.reopen()?;
        let mut text = String::new();
        let (mut end, mut ends) = (self.ends.last().copied().unwrap_or(0), vec![]);
        for row in &rows {
            let line = format!("{}\n", Value::Object(self.seal.sealed(row.clone())));
            end += line.len() as u64;
            ends.push(end);
            text += &line;
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // What was written in part is cut off again, as far as the disk lets us.
            let _ = self.cut(self.rows.len());
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
        let rows: Vec<Row> = self.rows.iter().map(|row| self.seal.sealed(row.clone())).collect();
        let bytes = super::parquet::encode(&self.header, &rows)?;
        replace(&path, &bytes).map_err(|e| failed(&path, &e))?;
        Ok(path)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("records.jsonl")
    }
}

fn write_header(folder: &Path, header: &Row) -> Result<(), String> {
    let head = folder.join("records.json");
    replace(&head, format!("{:#}\n", json!(header)).as_bytes()).map_err(|e| failed(&head, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::records::read;

    fn row(value: Value) -> Row {
        match value {
            Value::Object(row) => row,
            _ => Row::new(),
        }
    }

    fn header() -> Row {
        row(json!({ "eps": 0.5, "kind": "rigorous" }))
    }

    fn rows() -> Vec<Row> {
        (0..5).map(|i| row(json!({ "index": i, "margin": 0.1 * f64::from(i), "verdict": "open" }))).collect()
    }

    fn file(folder: &Path, name: &str) -> Vec<u8> {
        std::fs::read(folder.join(name)).expect("read")
    }

    /// Records of all rows, closed.
    fn whole(folder: &Path) -> (Vec<u8>, Vec<u8>) {
        let write = || {
            let mut records = Records::open(folder, header())?;
            records.add(rows(), &Row::new())?;
            records.close()
        };
        write().expect("written");
        (file(folder, "records.json"), file(folder, "records.jsonl"))
    }

    #[test]
    fn cut_off_anywhere_and_completed_the_files_are_the_same() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (closed, lines) = whole(&root.path().join("whole"));
        assert!(lines.starts_with(b"{\"digest\":"), "a reader of JSON lines finds rows alone");
        let open = root.path().join("open");
        Records::open(&open, header()).expect("begun");
        let begun = file(&open, "records.json");
        for cut in 0..=lines.len() {
            let folder = root.path().join(format!("cut{cut}"));
            std::fs::create_dir(&folder).expect("made");
            std::fs::write(folder.join("records.jsonl"), &lines[..cut]).expect("written");
            std::fs::write(folder.join("records.json"), &begun).expect("written");
            let mut records = Records::open(&folder, header()).expect("opened");
            let done = records.rows().len();
            records.add(rows()[done..].to_vec(), &Row::new()).and_then(|()| records.close()).expect("written");
            assert_eq!(file(&folder, "records.jsonl"), lines, "cut at {cut}");
            assert_eq!(file(&folder, "records.json"), closed, "cut at {cut}");
            let found = read(&folder).expect("read");
            assert_eq!((found.rows, found.is_sealed), (rows(), true));
        }
        // Closed ones of which some are done again.
        let again = root.path().join("whole");
        let mut records = Records::open(&again, header()).expect("opened");
        records.truncate(2).and_then(|()| records.add(rows()[2..4].to_vec(), &Row::new())).expect("written");
        assert!(read(&again).is_ok_and(|found| found.closing.is_none() && found.rows == rows()[..4]));
        let other = Records::open(&again, row(json!({ "eps": 0.6, "kind": "rigorous" }))).map(|_| ());
        assert!(other.is_err_and(|e| e.contains("its eps is 0.5, this one's is 0.6")));
    }

    #[test]
    fn what_was_changed_is_found() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = root.path().join("it");
        let (head, lines) = whole(&folder);
        let text = String::from_utf8(lines.clone()).expect("text");
        let list: Vec<&str> = text.lines().collect();
        let without: String =
            list.iter().filter(|line| !line.contains("\"index\":3,")).map(|l| format!("{l}\n")).collect();
        let other = Records::open(&root.path().join("other"), row(json!({ "eps": 0.6, "kind": "rigorous" })));
        other.and_then(|mut r| r.add(rows(), &Row::new())).expect("written");
        let elsewhere = String::from_utf8(file(&root.path().join("other"), "records.jsonl")).expect("text");
        let is_refused = |head: &[u8], lines: &str, why: &str| {
            std::fs::write(folder.join("records.json"), head).expect("written");
            std::fs::write(folder.join("records.jsonl"), lines).expect("written");
            let found = [read(&folder).map(|_| ()), Records::open(&folder, header()).map(|_| ())];
            assert!(found.iter().all(|found| found.as_ref().is_err_and(|e| e.contains(why))), "{why}: {found:?}");
        };
        is_refused(&head, &text.replace("0.2", "0.25"), "the row of image 2 is not as it was written");
        is_refused(&head, &text.replace("\"index\":3", "\"index\":7"), "the row of image 7 is not as it was written");
        is_refused(&head, &without, "the row of image 3 is missing");
        is_refused(&head, &format!("{text}{}\n", list[1]), "the row of image 1 is there twice");
        is_refused(&head, &elsewhere, "the row of image 0 is not as it was written");
        is_refused(&head, &text.replacen("\"digest\"", "\"other\"", 1), "the row of image 0 has no digest");
        let changed = String::from_utf8_lossy(&head).replace("0.5", "0.25");
        is_refused(changed.as_bytes(), &text, "the row of image 0 is not as it was written");
        is_refused(&head, "hello\n", "line 1 is damaged");
        // Edited on Windows: with a mark, and other ends of lines.
        std::fs::write(folder.join("records.json"), &head).expect("written");
        std::fs::write(folder.join("records.jsonl"), format!("\u{feff}{}", text.replace('\n', "\r\n")))
            .expect("written");
        assert_eq!(read(&folder).expect("read").rows, rows());
        let mut records = Records::open(&folder, header()).expect("opened");
        records.truncate(2).and_then(|()| records.add(rows()[2..].to_vec(), &Row::new())).expect("written");
        assert_eq!(read(&folder).expect("read").rows, rows());
    }

    #[test]
    fn earlier_records_are_read_and_not_gone_on_with() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let plain: String = rows().iter().map(|row| format!("{}\n", Value::Object(row.clone()))).collect();
        let first = format!("{}\n", json!({ "header": header() }));
        // Of 0.1, with the header in the first line, and between 0.1 and 0.2, with a file for it.
        for (name, head, lines) in
            [("first", None, format!("{first}{plain}")), ("own", Some(json!(header()).to_string()), plain)]
        {
            let folder = root.path().join(name);
            std::fs::create_dir(&folder).expect("made");
            std::fs::write(folder.join("records.jsonl"), &lines).expect("written");
            if let Some(head) = head {
                std::fs::write(folder.join("records.json"), head).expect("written");
            }
            let found = read(&folder).expect("read");
            assert_eq!((found.header, found.rows, found.is_sealed), (header(), rows(), false));
            assert!(Records::open(&folder, header()).is_err_and(|e| e.contains("is of an earlier version")));
            assert_eq!(file(&folder, "records.jsonl"), lines.as_bytes(), "nothing of it changes");
        }
        for text in ["hello\n", "hello"] {
            let folder = root.path().join(format!("none{}", text.len()));
            std::fs::create_dir(&folder).expect("made");
            std::fs::write(folder.join("records.jsonl"), text).expect("written");
            assert!(
                Records::open(&folder, header()).is_err(),
                "what is no beginning of records is nobody's to write over"
            );
        }
    }
}
