//! Command lines that do a run again, or go on with it: every word that is needed, quoted for a shell.

use crate::base::files::{path_word, quoted, quoted_path};
use crate::run::recorder::Record;
use crate::run::sweep::Sweep;
use std::path::Path;

/// The run once more, from its beginning.
pub fn again(record: &Record) -> String {
    let mut words = launched(record);
    words.extend(["workbench".to_string(), "run".into(), quoted_path(Path::new(&record.script))]);
    for (key, value) in &record.overrides {
        words.extend(["--set".into(), quoted(&format!("{key}={value}"))]);
    }
    words.extend(record.flags.iter().map(|word| quoted(word)));
    if record.shards() > 1 {
        words.extend(["--shards".into(), record.shards().to_string()]);
    }
    if record.by_shard {
        words.push("--by-shard".into());
    }
    words.extend(["--seed".into(), record.seed.to_string(), "--threads".into(), record.threads.to_string()]);
    // Each of several processes has a GPU of its own.
    let several = record.processes() > 1 && record.device.starts_with("cuda:");
    words.extend(["--device".into(), if several { "cuda".into() } else { quoted(&record.device) }]);
    words.join(" ")
}

/// What starts the processes of a run, if there are several.
fn launched(record: &Record) -> Vec<String> {
    if record.processes() == 1 {
        return vec![];
    }
    let launcher = record.launcher.clone().unwrap_or_else(|| "mpirun".into());
    vec![launcher, "-n".into(), record.processes().to_string()]
}

/// The run in `folder` from its last checkpoint. Settings, seed, threads and device are in its record; what `--set` named to be
/// read or fetched has to be named again, since a record grants nothing.
pub fn goes_on(record: &Record, folder: &Path) -> String {
    let mut words = launched(record);
    words.extend(["workbench".to_string(), "run".into(), quoted_path(Path::new(&record.script))]);
    words.extend(["--resume".into(), quoted_path(folder)]);
    words.extend(record.flags.iter().map(|word| quoted(word)));
    words.extend(allowances(record.overrides.iter().map(|(_, value)| value.as_str()), &record.flags));
    words.join(" ")
}

/// The sweep once more. The seeds follow each other from the first.
pub fn sweep_again(sweep: &Sweep) -> String {
    let mut words = vec!["workbench".to_string(), "sweep".into(), quoted_path(Path::new(&sweep.script))];
    for (key, values) in &sweep.settings {
        words.extend(["--set".into(), quoted(&format!("{key}={}", values.join(",")))]);
    }
    words.extend(["--seeds".into(), sweep.seeds.len().to_string()]);
    words.extend(["--seed".into(), sweep.seeds.first().copied().unwrap_or(0).to_string()]);
    if sweep.threads > 0 {
        words.extend(["--threads".into(), sweep.threads.to_string()]);
    }
    words.extend(["--device".into(), quoted(&sweep.device)]);
    words.extend(sweep.arguments.iter().map(|word| quoted(word)));
    words.join(" ")
}

/// The points of the sweep in `folder` that are not finished.
pub fn sweep_goes_on(sweep: &Sweep, folder: &Path) -> String {
    planned(&["--resume"], sweep, folder)
}

/// A point of the sweep in `folder`, whose place `item` says, be it as a shell's variable.
pub fn sweep_item(item: &str, sweep: &Sweep, folder: &Path) -> String {
    planned(&["--item", item, "--of"], sweep, folder)
}

/// What the points of the plan in `folder` have come to.
pub fn sweep_collected(folder: &Path) -> String {
    format!("workbench sweep --collect {}", quoted_path(folder))
}

fn planned(flags: &[&str], sweep: &Sweep, folder: &Path) -> String {
    let mut words = vec!["workbench".to_string(), "sweep".into()];
    words.extend(flags.iter().map(ToString::to_string));
    words.push(quoted_path(folder));
    words.extend(sweep.arguments.iter().map(|word| quoted(word)));
    let values = sweep.settings.iter().flat_map(|(_, values)| values).chain([&sweep.script]);
    words.extend(allowances(
        values.map(String::as_str).filter(|value| *value != sweep.script || is_address(value)),
        &sweep.arguments,
    ));
    words.join(" ")
}

/// Flags for what `values` name to be read or fetched, unless `flags` have them.
fn allowances<'a>(values: impl Iterator<Item = &'a str>, flags: &[String]) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    for value in values {
        let inside = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')).unwrap_or(value);
        // A path may have commas and brackets itself.
        let parts = inside.split(',').map(|word| word.trim().trim_matches('"'));
        let named: Vec<&str> = if Path::new(value).exists() { vec![value] } else { parts.collect() };
        for word in named {
            let (flag, word) = match word {
                word if is_address(word) => ("--allow-fetch", word.to_string()),
                word if !word.is_empty() && Path::new(word).exists() => ("--allow-read", path_word(Path::new(word))),
                _ => continue,
            };
            let known = flags.contains(&word) || words.contains(&quoted(&word));
            if !known {
                words.extend([flag.to_string(), quoted(&word)]);
            }
        }
    }
    words
}

fn is_address(word: &str) -> bool {
    word.starts_with("hf://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_there_and_names_are_quoted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let weights = folder.path().join("my weights");
        std::fs::write(&weights, "").expect("written");
        let record = Record {
            script: "my net.rhai".into(),
            overrides: vec![("weights".into(), weights.display().to_string()), ("lr".into(), "1e-3".into())],
            flags: ["--data-dir", "/the data", "--max-calls", "80"].map(String::from).to_vec(),
            device: "cpu".into(),
            seed: 3,
            threads: 2,
            ..Record::default()
        };
        let path = weights.display();
        assert_eq!(
            again(&record),
            format!(
                "workbench run 'my net.rhai' --set 'weights={path}' --set lr=1e-3 --data-dir '/the data' --max-calls 80 --seed 3 \
                 --threads 2 --device cpu"
            )
        );
        assert_eq!(
            goes_on(&record, Path::new("runs/a b")),
            format!(
                "workbench run 'my net.rhai' --resume 'runs/a b' --data-dir '/the data' --max-calls 80 --allow-read '{path}'"
            )
        );
    }
}
