//! The plots of a run, from the means over its epochs: losses, accuracies, local and global bound, shares of varying neurons,
//! as in Figures 2 and 3 of Huang et al. 2021, then all else that was logged. One curve for each loop and metric.

use super::groups::{Group, Metric, groups, named};
use crate::show::Series;
use crate::show::plot::{Drawing, Plot, TOLD_APART};
use serde_json::{Map, Value};

/// The means over the epochs of a run.
pub type Rows = [Map<String, Value>];

/// The size of a plot without its names: small, so that its letters can be read on a narrow screen.
pub const SIZE: (u32, u32) = (470, 300);

/// The plots that have something to show, with the names of their files.
pub fn plots(rows: &Rows) -> Vec<(String, Plot)> {
    let loops = in_order(rows.iter().map(label));
    let mut metrics = in_order(rows.iter().flat_map(names));
    // Layer 10 behind layer 9.
    metrics.sort_by_key(|metric| (metric.chars().filter(char::is_ascii_digit).count(), metric.to_string()));
    let values = |name: &&str| rows.iter().filter_map(|row| number(row, name)).collect();
    let metrics: Vec<Metric> =
        metrics.iter().map(|name| Metric { name: (*name).into(), values: values(name) }).collect();
    named(groups(&metrics).iter().flat_map(|group| parts(group, series(rows, &loops, group))))
}

/// The curves of one group, loop by loop.
fn series(rows: &Rows, loops: &[&str], group: &Group) -> Vec<Series> {
    let mut series = vec![];
    for name in loops {
        for (metric, curve) in &group.metrics {
            let scale = if group.shares { 100.0 } else { 1.0 };
            let own = rows.iter().filter(|row| label(row) == *name);
            let points = own.filter_map(|row| Some((number(row, "epoch")?, scale * number(row, metric)?)));
            let points: Vec<_> = points.filter(|p| !group.log_y || p.1 > 0.0).collect();
            if !points.is_empty() {
                let name = if loops.len() > 1 { format!("{name}: {curve}") } else { curve.clone() };
                series.push(Series { name: name.trim_start_matches(": ").into(), points });
            }
        }
    }
    series
}

/// One plot, or several where there are more curves than colours.
fn parts(group: &Group, series: Vec<Series>) -> Vec<(String, Plot)> {
    let count = series.len().div_ceil(TOLD_APART);
    let part = |(i, series): (usize, &[Series])| {
        let (file, title) = match i {
            0 if count == 1 => (group.file.clone(), group.title.clone()),
            i => (group.file.clone(), format!("{}, {} of {count}", group.title, i + 1)),
        };
        let plot = Plot {
            title,
            x_label: "epoch".into(),
            y_label: group.y_label.into(),
            log_x: false,
            log_y: group.log_y,
            whole: false,
            drawing: Drawing::Line,
            size: SIZE,
            names_below: true,
            series: series.to_vec(),
        };
        (file, plot)
    };
    series.chunks(TOLD_APART).enumerate().map(part).collect()
}

/// The names of the metrics in a row.
pub fn names(row: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let logged = row.iter().filter(|(name, value)| !crate::run::RESERVED.contains(&name.as_str()) && value.is_number());
    logged.map(|(name, _)| name.as_str())
}

pub fn number(row: &Map<String, Value>, key: &str) -> Option<f64> {
    row.get(key)?.as_f64()
}

/// The loop that a row is of.
pub fn label(row: &Map<String, Value>) -> &str {
    row.get("loop").and_then(Value::as_str).unwrap_or("")
}

/// Each name once.
pub fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = vec![];
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(rows: &[Value]) -> Vec<Map<String, Value>> {
        rows.iter().map(|row| row.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn a_curve_for_each_loop_and_metric_that_has_data() {
        let rows = rows(&[
            json!({ "loop": "plain", "epoch": 1, "loss": 2.0, "clean": 0.5 }),
            json!({ "loop": "robust", "epoch": 1, "loss": 3.0, "clean": 0.25, "bound/local": 0.0 }),
            json!({ "loop": "robust", "epoch": 2, "loss": 2.5, "clean": 0.5, "bound/local": 4.0, "bound/global": 9.0 }),
        ]);
        let plots = plots(&rows);
        let names: Vec<_> = plots.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(names, ["losses", "accuracies", "bounds"]);
        let series = |i: usize| -> Vec<_> { plots[i].1.series.iter().map(|s| (&*s.name, s.points.clone())).collect() };
        assert_eq!(series(1), [("plain: clean", vec![(1.0, 50.0)]), ("robust: clean", vec![(1.0, 25.0), (2.0, 50.0)])]);
        assert_eq!(series(2), [("robust: global", vec![(2.0, 9.0)]), ("robust: local", vec![(2.0, 4.0)])]);
        assert!(plots[2].1.log_y);
        assert_eq!(plots[0].1.series[0].name, "plain: trained on");
    }

    #[test]
    fn layers_are_in_order_and_a_single_loop_needs_no_name() {
        let rows = rows(&[json!({ "loop": "x", "epoch": 1, "varying/layer 10": 0.5, "varying/layer 2": 1.0 })]);
        let found = plots(&rows);
        let names: Vec<_> = found[0].1.series.iter().map(|s| &*s.name).collect();
        assert_eq!((&*found[0].0, &*names), ("varying_layers", &["layer 2", "layer 10"][..]));
        assert!(plots(&[]).is_empty());
    }

    #[test]
    fn no_two_curves_of_a_plot_have_one_colour() {
        let mut row = Map::from_iter([("epoch".to_string(), json!(1))]);
        row.extend((0..25).map(|i| (format!("varying/layer {i}"), json!(0.5))));
        let found = plots(&[row]);
        let files: Vec<_> = found.iter().map(|(file, plot)| (file.as_str(), plot.series.len())).collect();
        assert_eq!(files, [("varying_layers", 9), ("varying_layers_2", 9), ("varying_layers_3", 7)]);
        assert_eq!(found[1].1.title, "Neurons that vary, by layer, 2 of 3");
    }
}
