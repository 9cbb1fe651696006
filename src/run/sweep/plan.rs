//! A sweep: one script, every combination of some settings, and several seeds; each point is a run of its own. `sweep.json`
//! holds the plan, so that a sweep that was stopped goes on with the points that are not finished.

use crate::run::recorder::{RUN_JSON, Record, Status};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file's name in the sweep's folder.
pub const FILE: &str = "sweep.json";

/// What is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The script as it was given.
    pub script: String,
    /// Key and the values it takes, in the order given.
    pub settings: Vec<(String, Vec<String>)>,
    pub seeds: Vec<u64>,
    pub device: String,
    /// 0: what the machine has on which a point runs.
    pub threads: usize,
    /// A digest over script and modules where points are items of a scheduler, started at any time from anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources_digest: Option<String>,
    /// More arguments of `workbench run` for every point.
    pub arguments: Vec<String>,
}

/// Key and value for every setting of a sweep.
pub type Set = Vec<(String, String)>;

/// One combination with one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub set: Set,
    pub seed: u64,
    /// The folder's name in the sweep's folder.
    pub name: String,
}

/// More points than anybody waits for.
const POINTS: usize = 10_000;

impl Sweep {
    /// Read `KEY=A,B,C`. A comma inside brackets belongs to an array: `eps=[0.1, 0.3],[0.5]` are two values.
    pub fn values(argument: &str) -> Result<(String, Vec<String>), String> {
        let wrong =
            |why: &str| format!("sweep: --set {argument}: {why}; write KEY=VALUE,VALUE,..., for example lr=1e-3,3e-4");
        let (key, text) = argument.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let (mut values, mut depth) = (vec![String::new()], 0_usize);
        for c in text.chars() {
            match c {
                ',' if depth == 0 => {
                    values.push(String::new());
                    continue;
                }
                '[' => depth += 1,
                ']' => depth = depth.checked_sub(1).ok_or_else(|| wrong("a `]` has no `[`"))?,
                _ => {}
            }
            if let Some(last) = values.last_mut() {
                last.push(c);
            }
        }
        let values: Vec<String> = values.iter().map(|value| value.trim().to_string()).collect();
        if key.trim().is_empty() || depth > 0 {
            return Err(wrong(if depth > 0 { "a `[` has no `]`" } else { "the key before `=` is missing" }));
        }
        if let Some(twice) = values.iter().enumerate().find(|(i, value)| values[..*i].contains(value)) {
            return Err(wrong(&format!("the value `{}` comes twice", twice.1)));
        }
        Ok((key.trim().to_string(), values))
    }

    /// Every combination, the last setting running fastest and the seeds faster still.
    pub fn points(&self) -> Result<Vec<Point>, String> {
        let count = self
            .settings
            .iter()
            .map(|(_, values)| values.len())
            .chain([self.seeds.len()])
            .try_fold(1_usize, usize::checked_mul);
        let count = count
            .filter(|count| *count <= POINTS)
            .ok_or_else(|| format!("sweep: more than {POINTS} points; give fewer values, or sweep in parts"))?;
        if count == 0 {
            return Err("sweep: no points; a setting without values, or no seed".into());
        }
        let wide = count.to_string().len();
        let mut combinations = vec![vec![]];
        for (key, values) in &self.settings {
            let longer = |set: &Set| {
                values
                    .iter()
                    .map(|value| [set.clone(), vec![(key.clone(), value.clone())]].concat())
                    .collect::<Vec<_>>()
            };
            combinations = combinations.iter().flat_map(longer).collect();
        }
        let seeded = combinations.into_iter().flat_map(|set| self.seeds.iter().map(move |seed| (set.clone(), *seed)));
        Ok(seeded
            .enumerate()
            .map(|(i, (set, seed))| Point { set, seed, name: format!("point-{:0wide$}", i + 1) })
            .collect())
    }

    /// The sweep in `folder`.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let text = crate::base::text::read(&path)
            .map_err(|e| format!("{} is no folder of a sweep: {}: {e}", folder.display(), path.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{} is damaged or of another version: {e}", path.display()))
    }

    /// Write the plan into `folder`.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|e| format!("{}: {e}", path.display()))?;
        crate::base::files::replace(&path, &text).map_err(|e| format!("{}: {e}", path.display()))
    }
}

impl Sweep {
    /// The settings that take more than one value, by their place among all.
    pub fn varying(&self) -> Vec<usize> {
        (0..self.settings.len()).filter(|at| self.settings[*at].1.len() > 1).collect()
    }
}

/// Is it the folder of a sweep? A run may write a file of that name into its own.
pub fn is_sweep(folder: &Path) -> bool {
    folder.join(FILE).is_file() && !folder.join(RUN_JSON).is_file()
}

impl Point {
    /// Its folder in the sweep's.
    pub fn folder(&self, sweep: &Path) -> PathBuf {
        sweep.join(&self.name)
    }

    /// Has it been run to its end?
    pub fn is_finished(&self, sweep: &Path) -> bool {
        Record::read(&self.folder(sweep)).is_ok_and(|record| record.status == Status::Finished)
    }

    /// What it is, in a few words.
    pub fn describe(&self) -> String {
        let set = self.set.iter().map(|(key, value)| format!("{key}={value}"));
        set.chain([format!("seed {}", self.seed)]).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_at_commas_outside_brackets() {
        let values = |text: &str| Sweep::values(text).unwrap().1;
        assert_eq!(values("lr=1e-3, 3e-4"), ["1e-3", "3e-4"]);
        assert_eq!(values("eps=[0.1, 0.3],[0.5]"), ["[0.1, 0.3]", "[0.5]"]);
        assert_eq!(values("name=a=b"), ["a=b"]);
        for wrong in ["lr", "=1", "a=[1", "a=1]", "a=1,1"] {
            assert!(Sweep::values(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_combination_comes_once_with_every_seed() {
        let two = |key: &str| (key.to_string(), vec!["1".to_string(), "2".to_string()]);
        let sweep = Sweep {
            script: "a.rhai".into(),
            settings: vec![two("a"), two("b")],
            seeds: vec![0, 1, 2],
            device: "cpu".into(),
            threads: 1,
            sources_digest: None,
            arguments: vec![],
        };
        let points = sweep.points().unwrap();
        assert_eq!(
            (points.len(), points[11].describe().as_str(), points[0].name.as_str()),
            (12, "a=2 b=2 seed 2", "point-01")
        );
        assert!(Sweep { seeds: (0..5000).collect(), ..sweep.clone() }.points().is_err());
        assert!(Sweep { seeds: vec![], ..sweep }.points().unwrap_err().contains("no points"));
    }
}
