//! Runs as they lie on the disk, in a folder or in a pack: what they were, how they stand, what they came to.

use super::pack::{Pack, is_pack};
use crate::run::numbers::names::compared;
use crate::run::recorder::{RESERVED, RUN_JSON, Record, Status, epochs, is_under_way};
use crate::run::sweep::is_sweep;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A run that is looked at.
#[derive(Debug)]
pub struct StoredRun {
    /// The folder's name.
    pub name: String,
    /// The folder, or the pack.
    pub path: PathBuf,
    pub record: Record,
    /// The rows of whole epochs, in order.
    pub epochs: Vec<Map<String, Value>>,
    under_way: bool,
}

/// Something that is compared, with a value for each run that has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub name: String,
    pub values: Vec<Option<String>>,
}

impl Line {
    fn differs(&self) -> bool {
        self.values.iter().any(|value| *value != self.values[0])
    }
}

impl StoredRun {
    /// The run in the folder or the pack at `path`.
    pub fn open(path: &Path) -> Result<Self, String> {
        if !is_pack(path) {
            let record = Record::read(path)?;
            let epochs = epochs(path);
            let full = path.canonicalize().unwrap_or_else(|_| path.into());
            let name = full.file_name().map_or(path.display().to_string(), |name| name.to_string_lossy().into_owned());
            return Ok(Self { name, path: path.into(), record, epochs, under_way: is_under_way(path) });
        }
        let mut pack = Pack::open(path)?;
        let folder = tempfile::tempdir().map_err(|e| format!("{}: no temporary folder: {e}", path.display()))?;
        pack.unpack(folder.path(), |name| name == "metrics.jsonl")?;
        let epochs = epochs(folder.path());
        Ok(Self { name: pack.name().into(), path: path.into(), record: pack.record, epochs, under_way: false })
    }

    /// All runs in the folders of `folder`, oldest first, and what kept others from being read. Folders of sweeps are looked
    /// into.
    pub fn all(folder: &Path) -> Result<(Vec<Self>, Vec<String>), String> {
        let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let (mut runs, mut problems) = (vec![], vec![]);
        for path in paths {
            if path.join(RUN_JSON).is_file() {
                match Self::open(&path) {
                    Ok(run) => runs.push(run),
                    Err(message) => problems.push(message),
                }
            } else if is_sweep(&path) {
                let (inside, wrong) = Self::all(&path)?;
                runs.extend(inside);
                problems.extend(wrong);
            }
        }
        runs.sort_by(|a, b| a.began().cmp(b.began()));
        Ok((runs, problems))
    }

    /// When it first began.
    pub fn began(&self) -> &str {
        self.record.sittings.first().map_or("", |sitting| sitting.began.as_str())
    }

    /// How it stands: a run that says it is running, while nobody runs it, was killed.
    pub fn status(&self) -> String {
        match self.record.status {
            Status::Running if !self.under_way => "killed".into(),
            status if self.record.warnings.is_empty() => status.to_string(),
            status => format!("{status}, with a warning"),
        }
    }

    /// Where the last loop is: label and epoch.
    pub fn epoch(&self) -> Option<(String, u64)> {
        let row = self.epochs.last()?;
        Some((row.get("loop")?.as_str()?.to_string(), row.get("epoch")?.as_u64()?))
    }

    /// The settings in force, with seed, device and all else that a result hangs on.
    fn settings(&self) -> Vec<(String, String)> {
        let record = &self.record;
        let mut out = vec![("script".to_string(), record.main.clone())];
        out.extend(record.settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())));
        out.push(("seed".into(), record.seed.to_string()));
        out.push(("device".into(), record.device.clone()));
        out.push(("precision".into(), record.precision.to_string()));
        out.push(("threads".into(), record.threads.to_string()));
        out.extend(record.versions.iter().map(|(name, version)| (format!("{name}'s version"), version.clone())));
        out.extend(record.files.iter().map(|(name, sum)| (name.clone(), sum.chars().take(10).collect())));
        // By what attack a result was found, since it does not name the result.
        for key in HOW {
            let mut attacks: Vec<&str> = record.results.iter().filter_map(|result| result.get(key)?.as_str()).collect();
            attacks.dedup();
            out.extend((!attacks.is_empty()).then(|| (key.replace('_', " "), attacks.join("; "))));
        }
        for data in &record.data {
            out.extend(data.splits.iter().map(|(split, (images, sum))| {
                (
                    format!("{} {split}", data.name),
                    format!("{images} images, {}", sum.chars().take(10).collect::<String>()),
                )
            }));
        }
        out
    }

    /// What the script stated as its results; without any, the last epoch of every loop.
    pub fn results(&self) -> Vec<(String, f64)> {
        results(&self.record, &self.epochs)
    }
}

/// The results that `record` states; without any, those of the last of `epochs` of each loop.
pub fn results(record: &Record, epochs: &[Map<String, Value>]) -> Vec<(String, f64)> {
    let mut out: Vec<(String, f64)> = vec![];
    let mut add = |(name, value): (String, f64)| match out.iter_mut().find(|(known, _)| *known == name) {
        Some(known) => known.1 = value,
        None => out.push((name, value)),
    };
    let stated: Vec<&Map<String, Value>> = record.results.iter().filter_map(Value::as_object).collect();
    let mut known: HashMap<String, String> = HashMap::new();
    let how = stated.iter().any(|result| {
        let full = told(result, true);
        *known.entry(told(result, false)).or_insert_with(|| full.clone()) != full
    });
    stated.iter().flat_map(|result| flat(result, how)).for_each(&mut add);
    if record.results.is_empty() {
        for row in epochs {
            let label = row.get("loop").and_then(Value::as_str).unwrap_or_default();
            for (name, value) in row.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str())) {
                let name = if label.is_empty() { name.clone() } else { format!("{name} ({label})") };
                value.as_f64().into_iter().for_each(|value| add((name.clone(), value)));
            }
        }
    }
    out
}

/// By which attack a result was found: a long text, which names its numbers only where nothing else tells two results apart.
const HOW: [&str; 2] = ["attack", "apgd_attack"];

/// What a result is of: its texts, those of `HOW` if `how`, and the radius.
fn told(result: &Map<String, Value>, how: bool) -> String {
    let of = |(name, value): (&String, &Value)| match value {
        Value::String(_) if !how && HOW.contains(&name.as_str()) => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(_) if name == "eps" => Some(format!("eps {value}")),
        _ => None,
    };
    result.iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

/// The numbers of a result, each named after what it is of: `certified (robust, eps 0.1)`.
fn flat(result: &Map<String, Value>, how: bool) -> Vec<(String, f64)> {
    let of = told(result, how);
    let numbers = result.iter().filter(|(name, _)| *name != "eps");
    numbers
        .filter_map(|(name, value)| Some((name, value.as_f64()?)))
        .map(|(name, value)| (if of.is_empty() { name.clone() } else { format!("{name} ({of})") }, value))
        .collect()
}

/// Each name of `of` once, with the value that every run has for it.
fn lines(runs: &[StoredRun], of: impl Fn(&StoredRun) -> Vec<(String, String)>) -> Vec<Line> {
    let all: Vec<Vec<(String, String)>> = runs.iter().map(of).collect();
    let mut names: Vec<&String> = vec![];
    for (name, _) in all.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let value =
        |name: &String, run: &Vec<(String, String)>| run.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    names
        .iter()
        .map(|name| Line { name: (*name).clone(), values: all.iter().map(|run| value(name, run)).collect() })
        .collect()
}

/// Settings in which `runs` differ; results side by side.
pub fn compare(runs: &[StoredRun]) -> (Vec<Line>, Vec<Line>) {
    let settings = lines(runs, StoredRun::settings).into_iter().filter(Line::differs).collect();
    let results = |run: &StoredRun| {
        run.results().into_iter().map(|(name, value)| (name.clone(), compared(&name, value))).collect()
    };
    (settings, lines(runs, results))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::recorder::Setting;
    use serde_json::json;

    fn stored(settings: &[(&str, &str)], results: Vec<Value>) -> StoredRun {
        let setting =
            |(key, value): &(&str, &str)| Setting { key: (*key).into(), value: (*value).into(), given: false };
        let record = Record { settings: settings.iter().map(setting).collect(), results, ..Record::default() };
        StoredRun { name: "a".into(), path: "a".into(), record, epochs: vec![], under_way: false }
    }

    #[test]
    fn what_differs_is_told_and_results_stand_side_by_side() {
        let a = stored(
            &[("lr", "0.1"), ("eps", "1")],
            vec![json!({ "network": "n", "eps": 0.5, "clean": 0.25, "pgd": null })],
        );
        let b = stored(&[("lr", "0.2"), ("eps", "1"), ("new", "2")], vec![]);
        let (settings, results) = compare(&[a, b]);
        let line = |name: &str, values: [Option<&str>; 2]| Line {
            name: name.into(),
            values: values.map(|v| v.map(String::from)).to_vec(),
        };
        assert_eq!(settings, [line("lr", [Some("0.1"), Some("0.2")]), line("new", [None, Some("2")])]);
        assert_eq!(results, [line("clean (eps 0.5, n)", [Some("25.00 %"), None])]);
    }

    #[test]
    fn the_attack_names_a_result_only_where_nothing_else_does() {
        let by = |attack: &str, pgd: f64| json!({ "attack": attack, "bound": "local", "eps": 0.5, "pgd": pgd });
        let names =
            |results: Vec<Value>| stored(&[], results).results().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(vec![by("strong", 0.5)]), ["pgd (local, eps 0.5)"]);
        let (differ, _) = compare(&[stored(&[], vec![by("strong", 0.5)]), stored(&[], vec![by("published", 0.75)])]);
        assert_eq!(differ.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["attack"]);
        let both = names(vec![by("strong", 0.5), by("published", 0.75)]);
        assert_eq!(both, ["pgd (strong, local, eps 0.5)", "pgd (published, local, eps 0.5)"]);
    }
}
