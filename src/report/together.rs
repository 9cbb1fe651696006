//! The learning curves of several runs on one axis, for the metrics that one looks at first: losses, accuracies, bounds.

use super::curves::{Rows, SIZE, in_order, label, names, number};
use super::groups::{is_wide, named, safe, spaced};
use crate::run::names::{group, is_accuracy, is_certified, is_loss, is_share};
use crate::show::Series;
use crate::show::plot::{Drawing, Plot};

/// Runs that are drawn in one colour, with what they have in common.
pub struct Bundle<'a> {
    pub name: String,
    pub runs: Vec<&'a Rows>,
}

/// More points than these in one plot make the page heavy, and no eye sees them.
const POINTS: usize = 20_000;

/// The points of one curve.
type Points = Vec<(f64, f64)>;

/// A plot for each loop and metric, with the names of their files.
pub fn curves(bundles: &[Bundle]) -> Vec<(String, Plot)> {
    let rows = || bundles.iter().flat_map(|bundle| &bundle.runs).flat_map(|run| run.iter());
    let loops = in_order(rows().map(label));
    let logged = in_order(rows().flat_map(names));
    let mut metrics: Vec<&str> = logged.iter().copied().filter(|metric| place(metric).is_some()).collect();
    if metrics.is_empty() {
        metrics = logged;
    }
    metrics.sort_by_key(|metric| place(metric));
    let pairs = metrics.iter().flat_map(|metric| loops.iter().map(move |name| (*name, *metric)));
    named(pairs.filter_map(|(name, metric)| {
        let of = if name.is_empty() || loops.len() == 1 { String::new() } else { format!(" ({name})") };
        let plot = plot(bundles, name, metric, &of)?;
        Some((format!("curve_{}", safe(&format!("{metric}{of}"))), plot))
    }))
}

/// Where a metric stands among those that are looked at first.
fn place(metric: &str) -> Option<usize> {
    match () {
        () if is_loss(metric) => Some(if metric == "loss" { 0 } else { 3 }),
        () if is_accuracy(metric) => Some(if group(metric).is_none() { 1 } else { 2 }),
        () if group(metric) == Some("bound") => Some(4),
        () => None,
    }
}

fn plot(bundles: &[Bundle], name: &str, metric: &str, of: &str) -> Option<Plot> {
    let lines = |bundle: &Bundle| -> Vec<Points> {
        let line = |run: &&Rows| -> Points {
            let own = run.iter().filter(|row| label(row) == name);
            own.filter_map(|row| Some((number(row, "epoch")?, number(row, metric)?))).collect()
        };
        bundle.runs.iter().map(line).filter(|line| !line.is_empty()).collect()
    };
    let mut all: Vec<(&str, Vec<Points>)> = bundles
        .iter()
        .map(|bundle| (bundle.name.as_str(), lines(bundle)))
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    let values: Vec<f64> = all.iter().flat_map(|(_, lines)| lines.iter().flatten()).map(|p| p.1).collect();
    let shares = is_share(metric, &values);
    let most = POINTS / all.iter().map(|(_, lines)| lines.len()).sum::<usize>().max(1);
    for line in all.iter_mut().flat_map(|(_, lines)| lines) {
        *line = thinned(line, most.max(2));
        line.iter_mut().for_each(|p| p.1 *= if shares { 100.0 } else { 1.0 });
    }
    // What is not finite parts the lines.
    let series =
        |(name, lines): (&str, Vec<Points>)| Series { name: name.into(), points: lines.join(&(f64::NAN, f64::NAN)) };
    let series: Vec<Series> = all.into_iter().map(series).collect();
    let kind = if is_certified(metric) { ", estimate" } else { "" };
    let (y_label, log_y) = match () {
        () if shares => ("%", false),
        () if is_loss(metric) => ("loss", false),
        () => ("value", is_wide(&values)),
    };
    (!series.is_empty()).then(|| Plot {
        title: format!("{}{of}{kind}", spaced(metric)),
        x_label: "epoch".into(),
        y_label: y_label.into(),
        log_x: false,
        log_y,
        whole: false,
        drawing: Drawing::Lines,
        size: SIZE,
        names_below: true,
        series,
    })
}

/// At most about `most` of the points, the first and the last among them.
fn thinned(line: &[(f64, f64)], most: usize) -> Points {
    let every = line.len().div_ceil(most);
    let last = line.len() - 1;
    line.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last).map(|(_, p)| *p).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value, json};

    fn rows(rows: &[Value]) -> Vec<Map<String, Value>> {
        rows.iter().map(|row| row.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn runs_of_one_bundle_are_lines_of_one_colour() {
        let row = |epoch: u32, value: f64| json!({ "loop": "", "epoch": epoch, "val/acc": value, "lr": 0.1 });
        let (a, b, c) = (rows(&[row(1, 0.5), row(2, 0.75)]), rows(&[row(2, 0.25)]), rows(&[]));
        let bundles =
            [Bundle { name: "eps 1".into(), runs: vec![&a, &c, &b] }, Bundle { name: "eps 2".into(), runs: vec![&c] }];
        let plots = curves(&bundles);
        assert_eq!(plots.len(), 1, "lr is no metric that one looks at first");
        let (file, plot) = &plots[0];
        assert_eq!((file.as_str(), plot.title.as_str(), plot.series.len()), ("curve_val_acc", "val acc", 1));
        let points: Vec<_> = plot.series[0].points.iter().map(|p| p.1).collect();
        assert_eq!((points[..2].to_vec(), points[2].is_nan(), points[3]), (vec![50.0, 75.0], true, 25.0));
    }

    #[test]
    fn without_a_loss_or_an_accuracy_all_is_drawn_loop_by_loop() {
        let a = rows(&[json!({ "loop": "a", "epoch": 1, "x": 1 }), json!({ "loop": "b", "epoch": 1, "x": 2 })]);
        let plots = curves(&[Bundle { name: String::new(), runs: vec![&a] }]);
        assert_eq!(plots.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(), ["curve_x_a", "curve_x_b"]);
    }

    #[test]
    fn long_curves_are_thinned_and_keep_their_ends() {
        let line: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), 0.0)).collect();
        let thin = thinned(&line, 10);
        assert!(thin.len() <= 11 && thin[0].0 == 0.0 && thin[thin.len() - 1].0 == 999.0, "{thin:?}");
        assert_eq!(thinned(&line[..3], 10), line[..3]);
    }
}
