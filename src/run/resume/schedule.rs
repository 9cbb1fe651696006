//! When checkpoints are written, and which are kept
//!
//! One that the script asks for waits until the next two batches, or epochs, lie apart, and until the last one is as long ago as
//! its share of the time asks. The last two stay on the disk.

use super::checkpoint::{Checkpoint, keep_parts_of, numbered, tidy};
use crate::compute::collective::Group;
use crate::run::recorder::Options;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The checkpoints of a run.
#[derive(Debug, Default)]
pub struct Checkpoints {
    options: Options,
    began: Option<Instant>,
    /// One was asked for.
    due: bool,
    number: u64,
    /// The last good ones, the latest last.
    good: Vec<PathBuf>,
    finished: Option<Instant>,
    took: Duration,
    /// What the script keeps in each.
    kept: Map<String, Value>,
}

/// A checkpoint to go on from.
pub struct Found {
    /// The highest number in the folder, be it of a damaged one.
    highest: u64,
    pub path: PathBuf,
    pub checkpoint: Checkpoint,
}

/// The latest checkpoint in `folder` that all processes find whole; what was found about those that are not.
pub fn latest(folder: &Path, group: &Group) -> Result<(Option<Found>, Vec<String>), String> {
    if group.is_first() {
        tidy(folder);
        let numbers: Vec<u64> = numbered(folder).into_iter().map(|(number, _)| number).collect();
        keep_parts_of(folder, &numbers);
    }
    let (all, mut damaged) = (group.of_first(numbered(folder))?, vec![]);
    let highest = all.first().map_or(0, |(number, _)| *number);
    for (_, path) in all {
        match group.all_well(Checkpoint::open(&path, group)) {
            Ok(checkpoint) => return Ok((Some(Found { highest, path, checkpoint }), damaged)),
            Err(why) => damaged
                .push(format!("the checkpoint {} cannot be used: {why}; the one before is taken", path.display())),
        }
    }
    Ok((None, damaged))
}

impl Checkpoints {
    /// Of a run that is written down as `options` say.
    pub fn begin(options: Options) -> Self {
        Self { options, began: Some(Instant::now()), ..Self::default() }
    }

    /// Numbers go on after those that are there.
    pub fn go_on_after(&mut self, found: &Found) {
        (self.number, self.good) = (found.highest, vec![found.path.clone()]);
        self.kept = found.checkpoint.state.kept.clone();
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What the script keeps.
    pub fn kept(&self) -> &Map<String, Value> {
        &self.kept
    }

    pub fn keep(&mut self, name: &str, value: Value) {
        self.kept.insert(name.into(), value);
    }

    pub fn set_kept(&mut self, kept: Map<String, Value>) {
        self.kept = kept;
    }

    /// The script asks for one.
    pub fn ask(&mut self) {
        self.due = true;
    }

    /// Was one asked for?
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Has it been so long that one is written in the middle of an epoch?
    pub fn is_time(&self) -> bool {
        let since = self.finished.or(self.began);
        self.options.every.is_some_and(|every| since.is_some_and(|t| t.elapsed() >= every))
    }

    /// Is one written now: `surely`, or unless the last one was too short a time ago for what they cost? What was asked for is done.
    pub fn take_turn(&mut self, surely: bool) -> bool {
        self.due = false;
        let pause = self.took.div_f64(self.options.share.clamp(1e-6, 1.0));
        let early = self.finished.is_some_and(|t| t.elapsed() < pause);
        !early || surely || self.options.share >= 1.0
    }

    /// How the name of the next one begins.
    pub fn next_stem(&self) -> String {
        format!("{:06}", self.number + 1)
    }

    /// It is written: it and the one before stay.
    pub fn add(&mut self, path: PathBuf, took: Duration) {
        (self.number, self.took, self.finished) = (self.number + 1, took, Some(Instant::now()));
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        self.good.push(path);
        self.good = self.good.split_off(self.good.len().saturating_sub(2));
        let mut kept = vec![];
        for (number, path) in numbered(&folder) {
            // By their names, which hold their checksums: the folder may be called in two ways.
            if self.good.iter().any(|good| good.file_name() == path.file_name()) {
                kept.push(number);
            } else {
                let _ = std::fs::remove_file(path);
            }
        }
        keep_parts_of(&folder, &kept);
    }

    /// Another process has written it.
    pub fn add_from_elsewhere(&mut self, path: PathBuf, took: Duration) {
        (self.number, self.took, self.finished) = (self.number + 1, took, Some(Instant::now()));
        self.good = vec![path];
    }

    /// The last good one.
    pub fn last(&self) -> Option<&PathBuf> {
        self.good.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_waits_for_its_share_of_the_time() {
        let mut all = Checkpoints::begin(Options { share: 0.01, ..Options::default() });
        all.ask();
        assert!(all.is_due() && all.take_turn(false) && !all.is_due());
        assert_eq!(all.next_stem(), "000001");
        all.add("checkpoints/000001-0.safetensors".into(), Duration::from_secs(10));
        assert!(!all.take_turn(false), "ten seconds of work ask for a thousand of pause");
        assert!(all.take_turn(true));
        assert_eq!(all.next_stem(), "000002");
        let mut eager = Checkpoints::begin(Options { share: 1.0, every: Some(Duration::ZERO), ..Options::default() });
        eager.add("checkpoints/000001-0.safetensors".into(), Duration::from_secs(10));
        assert!(eager.take_turn(false) && eager.is_time() && !all.is_time());
    }
}
