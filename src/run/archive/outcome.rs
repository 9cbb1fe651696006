//! What the points of a sweep came to: a row for each in `sweep.csv`, mean and spread over the seeds in `summary.csv`.

use crate::run::archive::StoredRun;
use crate::run::numbers::csv;
use crate::run::numbers::names::is_share;
use crate::run::recorder::{RUN_JSON, Status};
use crate::run::sweep::{Point, Set, Sweep};
use std::path::Path;

/// The file with a row for each point.
pub const POINTS: &str = "sweep.csv";
/// The file with means and spreads.
pub const SUMMARY: &str = "summary.csv";

/// The order of results; others follow.
const FIRST: [&str; 5] = ["clean", "accuracy", "pgd", "apgd", "certified"];

/// So many rows of epochs are kept in memory for all points together; those of longer curves are thinned.
const ROWS: usize = 200_000;

/// A point and what has become of it.
#[derive(Debug)]
pub struct Outcome {
    pub point: Point,
    /// As a run's, or `not run`.
    pub status: String,
    /// Nothing if there is no record to read.
    pub run: Option<StoredRun>,
    /// The results of a point that is finished; none of any other.
    pub results: Vec<(String, f64)>,
    /// The last error that it has told.
    pub said: Option<String>,
}

impl Outcome {
    /// What has become of `point` in the folder of a sweep. Keeps about `most` rows of its epochs.
    fn of(point: Point, sweep: &Path, most: usize) -> Self {
        let folder = point.folder(sweep);
        let said = last_error(&folder.with_extension("txt"));
        if !folder.join(RUN_JSON).is_file() {
            // A script that cannot be loaded fails before there is a folder.
            let status = if said.is_some() { "failed" } else { "not run" };
            return Self { point, status: status.into(), run: None, results: vec![], said };
        }
        match StoredRun::open(&folder) {
            Err(damaged) => Self { point, status: "damaged".into(), run: None, results: vec![], said: Some(damaged) },
            Ok(mut run) => {
                let results = if run.record.status == Status::Finished { run.results() } else { vec![] };
                // What was said before the point went on is over.
                let said = said.filter(|_| run.record.status == Status::Failed);
                run.epochs = thinned(run.epochs, most);
                Self { point, status: run.status(), results, said, run: Some(run) }
            }
        }
    }

    /// Has it been run to its end?
    pub fn is_finished(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.record.status == Status::Finished)
    }

    /// Its value of a result.
    pub fn value(&self, result: &str) -> Option<f64> {
        self.results.iter().find(|(name, _)| name == result).map(|(_, value)| *value)
    }
}

/// What has become of every point of the sweep in `folder`.
pub fn outcomes(sweep: &Sweep, folder: &Path) -> Result<Vec<Outcome>, String> {
    let points = sweep.points()?;
    let most = ROWS / points.len().max(1);
    Ok(points.into_iter().map(|point| Outcome::of(point, folder, most)).collect())
}

/// At most about `most` of the rows, the last among them.
fn thinned<T>(rows: Vec<T>, most: usize) -> Vec<T> {
    let every = rows.len().div_ceil(most.max(1)).max(1);
    let last = rows.len().saturating_sub(1);
    rows.into_iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last).map(|(_, row)| row).collect()
}

/// The last error in the text of what a point printed.
pub fn last_error(log: &Path) -> Option<String> {
    let text = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().find(|line| line.starts_with("error: ")).map(String::from)
}

/// The names of all results: accuracies, then others in the order in which they turn up.
pub fn result_names(outcomes: &[Outcome]) -> Vec<&str> {
    let mut names: Vec<&str> = vec![];
    for (name, _) in outcomes.iter().flat_map(|outcome| &outcome.results) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let place = |name: &str| FIRST.iter().position(|known| name.split(" (").next() == Some(known));
    names.sort_by_key(|name| place(name).unwrap_or(FIRST.len()));
    names
}

/// A result of one combination over its seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    pub set: Set,
    pub result: String,
    pub mean: f64,
    /// The standard deviation of the seeds around their mean (n - 1); nothing of a single one.
    pub spread: Option<f64>,
    pub seeds: usize,
    /// Are the values shares?
    pub is_share: bool,
}

/// Mean and spread of every result, over the seeds of each combination; by result, then in the order of the points.
pub fn spreads(outcomes: &[Outcome]) -> Vec<Spread> {
    let mut found = vec![];
    for result in result_names(outcomes) {
        let mut sets: Vec<(&Set, Vec<f64>)> = vec![];
        for outcome in outcomes {
            let Some(value) = outcome.value(result) else { continue };
            match sets.last_mut() {
                // The seeds of a combination follow each other.
                Some((set, values)) if **set == outcome.point.set => values.push(value),
                _ => sets.push((&outcome.point.set, vec![value])),
            }
        }
        let all: Vec<f64> = sets.iter().flat_map(|(_, values)| values.clone()).collect();
        let is_share = is_share(result, &all);
        found.extend(sets.into_iter().map(|(set, values)| spread(set, result, &values, is_share)));
    }
    found
}

fn spread(set: &Set, result: &str, values: &[f64], is_share: bool) -> Spread {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    let spread = (values.len() > 1).then(|| (square / (n - 1.0)).sqrt());
    Spread { set: set.clone(), result: result.into(), mean, spread, seeds: values.len(), is_share }
}

/// Write both files into the folder of the sweep.
pub fn write(sweep: &Sweep, outcomes: &[Outcome], folder: &Path) -> Result<(), String> {
    let (head, rows) = points(sweep, outcomes);
    csv(&folder.join(POINTS), &head, &rows)?;
    let keys = sweep.settings.iter().map(|(key, _)| key.clone()).collect();
    let head = [vec!["result".to_string()], keys, ["mean", "spread", "seeds"].map(String::from).to_vec()].concat();
    let row = |one: Spread| {
        let numbers =
            [one.mean.to_string(), one.spread.map_or(String::new(), |x| x.to_string()), one.seeds.to_string()];
        [vec![one.result], one.set.into_iter().map(|(_, value)| value).collect(), numbers.to_vec()].concat()
    };
    csv(&folder.join(SUMMARY), &head, &spreads(outcomes).into_iter().map(row).collect::<Vec<_>>())
}

/// A row for each point: settings, seed, the run's folder, status, results.
fn points(sweep: &Sweep, outcomes: &[Outcome]) -> (Vec<String>, Vec<Vec<String>>) {
    let own = ["seed", "run", "status"];
    let mut head: Vec<String> = vec![];
    for (key, _) in &sweep.settings {
        head.push(if own.contains(&key.as_str()) { format!("{key} (setting)") } else { key.clone() });
    }
    head.extend(own.map(String::from));
    let names = result_names(outcomes);
    for name in &names {
        // Two columns of one name could not be told apart.
        let twice = head.iter().any(|column| column == name);
        head.push(if twice { format!("{name} (result)") } else { (*name).into() });
    }
    let row = |outcome: &Outcome| {
        let point = &outcome.point;
        let set = point.set.iter().map(|(_, value)| value.clone());
        let own = [point.seed.to_string(), point.name.clone(), outcome.status.clone()];
        let results = names.iter().map(|name| outcome.value(name).map_or(String::new(), |value| value.to_string()));
        set.chain(own).chain(results).collect()
    };
    (head, outcomes.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(set: &[(&str, &str)], seed: u64, results: &[(&str, f64)]) -> Outcome {
        let set = set.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let results: Vec<(String, f64)> = results.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        let status = if results.is_empty() { "failed" } else { "finished" }.to_string();
        let point = Point { set, seed, name: format!("point-{seed}") };
        Outcome { point, status, run: None, results, said: None }
    }

    fn sweep(key: &str) -> Sweep {
        Sweep {
            script: "a.rhai".into(),
            settings: vec![(key.into(), vec!["1".into()])],
            seeds: vec![1, 2, 3],
            device: "cpu".into(),
            threads: 1,
            sources_digest: None,
            arguments: vec![],
        }
    }

    #[test]
    fn the_spread_is_that_of_a_sample() {
        let of = |values: &[f64]| {
            let row = |(seed, value): (usize, &f64)| outcome(&[("a", "1")], seed as u64, &[("clean", *value)]);
            spreads(&values.iter().enumerate().map(row).collect::<Vec<_>>())
        };
        let found = &of(&[1.0, 2.0, 3.0])[0];
        assert_eq!((found.mean, found.spread, found.seeds, found.is_share), (2.0, Some(1.0), 3, false));
        assert_eq!((of(&[0.5])[0].spread, of(&[0.5])[0].is_share), (None, true));
    }

    #[test]
    fn many_rows_are_thinned_and_few_are_not() {
        assert_eq!(thinned((0..10).collect(), 4), [0, 3, 6, 9]);
        assert_eq!(thinned((0..11).collect(), 4), [0, 3, 6, 9, 10]);
        assert_eq!((thinned(vec![1, 2], 4), thinned(vec![0; 0], 0)), (vec![1, 2], vec![]));
    }

    #[test]
    fn every_point_has_a_row_and_no_two_columns_have_one_name() {
        let all = [
            outcome(&[("seed", "1")], 1, &[("x", 0.5), ("run", 2.0)]),
            outcome(&[("seed", "1")], 2, &[]),
            outcome(&[("seed", "1")], 3, &[("y", 1.5)]),
        ];
        let (head, rows) = points(&sweep("seed"), &all);
        assert_eq!(head, ["seed (setting)", "seed", "run", "status", "x", "run (result)", "y"]);
        assert_eq!(rows[0], ["1", "1", "point-1", "finished", "0.5", "2", ""]);
        assert_eq!(rows[1], ["1", "2", "point-2", "failed", "", "", ""]);
        assert_eq!(rows[2], ["1", "3", "point-3", "finished", "", "", "1.5"]);
    }
}
