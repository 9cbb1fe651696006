//! `run.json`: what a run is, from the script's name to the checksums of its data.

use super::arithmetic::Arithmetic;
use crate::compute::precision::Precision;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// The file's name in the run's folder.
pub const FILE: &str = "run.json";

/// All that is known about a run beside its numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Record {
    /// The script as it was given, and the name of its file under `source/`.
    pub script: String,
    pub main: String,
    /// Files under `source/` and `stdlib/` with their SHA-256.
    pub files: BTreeMap<String, String>,
    /// What `--set` gave, and what the settings came to.
    pub overrides: Vec<(String, String)>,
    pub settings: Vec<Setting>,
    /// More words of the command line: permissions, limits, where data is, how the run is written down.
    pub flags: Vec<String>,
    pub seed: u64,
    /// Bits of the operating system that the run has drawn, in order, 64 hexadecimal digits each.
    pub entropy: Vec<String>,
    pub device: String,
    /// What the script's numbers follow; runs of before 0.2 do not say.
    pub arithmetic: Arithmetic,
    /// What products of f32 numbers were computed in.
    pub precision: Precision,
    pub threads: usize,
    /// Where they are more than one: processes, what started them, and shards for the run's life; and whether these had batches of their own.
    #[serde(skip_serializing_if = "is_one")]
    pub processes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launcher: Option<String>,
    #[serde(skip_serializing_if = "is_one")]
    pub shards: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_shard: bool,
    pub versions: BTreeMap<String, String>,
    pub git: Option<Git>,
    pub data: Vec<Data>,
    /// Each time somebody ran it, with where that began.
    pub sittings: Vec<Sitting>,
    pub status: Status,
    /// Why it failed, if it did.
    pub error: Option<String>,
    pub seconds: f64,
    /// Of these, what went into the record itself: rows, checkpoints, checksums, plots, the report.
    pub recording_seconds: f64,
    /// What the script stated as its results.
    pub results: Vec<Value>,
    /// Folders with the records of evaluations, in the run's folder or elsewhere.
    pub records: Vec<String>,
    /// Drawings that the script made, files in the run's folder.
    pub drawings: Vec<String>,
    /// What was noticed about the run that its numbers do not say, such as a training that learned nothing.
    pub warnings: Vec<String>,
    /// The weights that were saved last, a file in the run's folder.
    pub weights: Option<String>,
    /// Their network, a line for each layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The best weights by images that were set apart, a file each.
    pub best: Vec<Best>,
}

/// A setting of the script as it was in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub key: String,
    pub value: String,
    /// Did the command line set it?
    pub given: bool,
}

/// Weights that scored highest on validation images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    pub file: String,
    pub score: f64,
    /// Where: the loop by number, from 0, and name, and the epoch, from 1.
    pub index: usize,
    pub label: String,
    pub epoch: usize,
}

/// The repository that the run was started in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    pub revision: String,
    /// Had files been changed? Unknown where there is no `git` to ask.
    pub dirty: Option<bool>,
}

/// A data set that was loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub name: String,
    pub source: String,
    /// How the script called it, and the folder or file that this led to, where it was no name of a known data set.
    #[serde(default)]
    pub asked: Option<String>,
    #[serde(default)]
    pub place: Option<String>,
    /// By split: images, and the SHA-256 of images and labels in their order.
    pub splits: BTreeMap<String, (usize, String)>,
}

/// One time that the run was under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sitting {
    pub began: String,
    pub from: String,
    pub threads: usize,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Running,
    Finished,
    Interrupted,
    Failed,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        })
    }
}

// serde hands over a reference to the field.
#[expect(clippy::ref_option)]
fn is_one(n: &Option<usize>) -> bool {
    n.is_none_or(|n| n == 1)
}

impl Record {
    /// How many processes had the run.
    pub fn processes(&self) -> usize {
        self.processes.unwrap_or(1)
    }

    /// How many shards its images are dealt out to.
    pub fn shards(&self) -> usize {
        self.shards.unwrap_or(1)
    }

    /// The record in the folder of a run.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let text = crate::base::text::read(&path)
            .map_err(|e| format!("{} is no folder of a run: {}: {e}", folder.display(), path.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{} is damaged or of another version: {e}", path.display()))
    }

    /// The script and the modules that it imported lie below `source/` and `stdlib/`, and the script is among them; an error
    /// otherwise.
    pub fn check_names(&self) -> Result<(), String> {
        let inside =
            |name: &str| !name.is_empty() && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
        if !inside(&self.main) {
            return Err(format!("the script's name `{}` leads out of the folder", self.main));
        }
        let main = format!("source/{}", self.main);
        if !self.files.contains_key(&main) {
            return Err(format!("run.json does not list the script, {main}"));
        }
        for name in self.files.keys() {
            let script = (name.starts_with("source/") || name.starts_with("stdlib/")) && name.ends_with(".rhai");
            if !script || !inside(name) {
                return Err(format!("run.json lists `{name}` among the scripts"));
            }
        }
        Ok(())
    }

    /// Write it, all or nothing.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|e| format!("{}: {e}", path.display()))?;
        crate::base::files::replace(&path, &text).map_err(|e| format!("{}: {e}", path.display()))
    }
}
