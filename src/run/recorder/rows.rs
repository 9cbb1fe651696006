//! Metrics as they come: `metrics.jsonl` (one line for each epoch, and for each window of batches), `metrics.csv` (one
//! row for each epoch) and TensorBoard's event file.
//!
//! A run that is resumed cuts off what lies behind its checkpoint, so that no row comes twice; the CSV file follows from
//! the lines. A metric that turns up later gets a column, and the file is written anew.

use super::events;
use crate::base::files::replace_unsynced;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What each row says beside the metrics; no metric can be called so.
pub const RESERVED: [&str; 6] = ["loop", "window", "epoch", "batch", "step", "seconds"];

/// An error if a script calls a value by such a name.
pub fn refuse_reserved<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    match names.into_iter().find(|name| RESERVED.contains(name)) {
        None => Ok(()),
        Some(name) => {
            Err(format!("run.log: `{name}` is what every row of the record says by itself; choose another name"))
        }
    }
}

/// How long the files were at a checkpoint, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    pub lines: u64,
    pub events: u64,
}

/// The means over an epoch or over a window of batches. Epochs and batches count from 1.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub label: &'a str,
    pub epoch: usize,
    /// The last batch of the window; `None` for a whole epoch.
    pub batch: Option<usize>,
    pub step: u64,
    pub seconds: f64,
    pub values: Vec<(String, f64)>,
}

/// The three files.
#[derive(Debug)]
pub struct Rows {
    folder: PathBuf,
    lines: File,
    events: File,
    columns: Vec<String>,
}

impl Rows {
    /// Open the files in `folder`, cut off at `lengths`.
    pub fn open(folder: &Path, lengths: Lengths) -> io::Result<Self> {
        let lines = cut(&folder.join("metrics.jsonl"), lengths.lines)?;
        let mut events = cut(&event_file(folder)?, lengths.events)?;
        if lengths.events == 0 {
            events.write_all(&events::version(now()))?;
        }
        let columns = rewrite(folder, &[])?;
        Ok(Self { folder: folder.to_path_buf(), lines, events, columns })
    }

    /// Append a row to every file that it belongs in.
    pub fn add(&mut self, row: &Row) -> io::Result<()> {
        let mut line = Map::new();
        line.insert("loop".into(), row.label.into());
        line.insert("window".into(), if row.batch.is_some() { "batches" } else { "epoch" }.into());
        line.insert("epoch".into(), row.epoch.into());
        line.extend(row.batch.map(|batch| ("batch".to_string(), batch.into())));
        line.insert("step".into(), row.step.into());
        line.insert("seconds".into(), json!((row.seconds * 1000.0).round() / 1000.0));
        line.extend(row.values.iter().map(|(name, value)| (name.clone(), json!(value))));
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.lines.write_all(&text)?;
        let group = match (row.label, row.batch) {
            ("", None) => "epoch/".to_string(),
            ("", Some(_)) => "batches/".to_string(),
            (label, None) => format!("{label}/epoch/"),
            (label, Some(_)) => format!("{label}/batches/"),
        };
        let tagged: Vec<_> = row.values.iter().map(|(name, value)| (format!("{group}{name}"), *value)).collect();
        self.events.write_all(&events::scalars(now(), row.step, &tagged))?;
        if row.batch.is_none() {
            self.add_to_table(&line)?;
        }
        Ok(())
    }

    fn add_to_table(&mut self, line: &Map<String, Value>) -> io::Result<()> {
        if line.keys().any(|key| key != "window" && !self.columns.contains(key)) {
            self.columns = rewrite(&self.folder, &self.columns)?;
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).open(self.folder.join("metrics.csv"))?;
        file.write_all(&table(&self.columns, std::slice::from_ref(line))?)
    }

    /// Wait until all is on the disk; how long the files are then.
    pub fn sync(&self) -> io::Result<Lengths> {
        self.lines.sync_data()?;
        self.events.sync_data()?;
        Ok(Lengths { lines: self.lines.metadata()?.len(), events: self.events.metadata()?.len() })
    }
}

/// The rows of whole epochs in a run's folder; lines that are cut off are left out.
pub fn epochs(folder: &Path) -> Vec<Map<String, Value>> {
    let text = crate::base::text::read(&folder.join("metrics.jsonl")).unwrap_or_default();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok());
    rows.filter(|row| row.get("window").and_then(Value::as_str) == Some("epoch")).collect()
}

/// Write the CSV file anew from the lines; its columns, those in `known` first.
fn rewrite(folder: &Path, known: &[String]) -> io::Result<Vec<String>> {
    let rows = epochs(folder);
    let mut columns: Vec<String> = ["loop", "epoch", "step", "seconds"].map(String::from).to_vec();
    for name in known.iter().chain(rows.iter().flat_map(|row| row.keys())) {
        if name != "window" && !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    let head = columns.iter().map(|name| (name.clone(), name.as_str().into())).collect();
    let bytes = table(&columns, &[vec![head], rows].concat())?;
    // It follows from the lines, which are synced with every checkpoint.
    replace_unsynced(&folder.join("metrics.csv"), &bytes)?;
    Ok(columns)
}

fn table(columns: &[String], rows: &[Map<String, Value>]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(vec![]);
    for row in rows {
        let cell = |column: &String| match row.get(column) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        writer.write_record(columns.iter().map(cell))?;
    }
    writer.into_inner().map_err(|e| io::Error::other(e.to_string()))
}

/// A file to append to, no longer than `length`.
fn cut(path: &Path, length: u64) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() > length {
        file.set_len(length)?;
    }
    Ok(file)
}

/// The run's event file: the one that is there, or a new one.
fn event_file(folder: &Path) -> io::Result<PathBuf> {
    let folder = folder.join("events");
    let there = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut there: Vec<_> = there.filter(|p| p.to_string_lossy().contains("tfevents")).collect();
    there.sort();
    Ok(there.into_iter().next().unwrap_or_else(|| folder.join(format!("events.out.tfevents.{:.0}.workbench", now()))))
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: usize, values: &[(&str, f64)]) -> Row<'static> {
        let values = values.iter().map(|(n, v)| (n.to_string(), *v)).collect();
        Row { label: "net", epoch, batch: None, step: epoch as u64, seconds: 0.5, values }
    }

    #[test]
    fn a_late_metric_gets_a_column_and_a_resumed_run_repeats_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let text = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
        let mut rows = Rows::open(folder.path(), Lengths::default()).unwrap();
        rows.add(&row(1, &[("loss", 0.1)])).unwrap();
        let lengths = rows.sync().unwrap();
        rows.add(&row(2, &[("loss", 0.3), ("certified", 0.5)])).unwrap();
        let whole = "loop,epoch,step,seconds,loss,certified\nnet,1,1,0.5,0.1,\nnet,2,2,0.5,0.3,0.5\n";
        assert_eq!(text("metrics.csv"), whole);
        drop(rows);
        let mut rows = Rows::open(folder.path(), lengths).unwrap();
        assert_eq!(text("metrics.csv"), "loop,epoch,step,seconds,loss\nnet,1,1,0.5,0.1\n");
        rows.add(&row(2, &[("loss", 0.3), ("certified", 0.5)])).unwrap();
        assert_eq!(text("metrics.csv"), whole);
        assert_eq!(text("metrics.jsonl").lines().count(), 2);
    }
}
