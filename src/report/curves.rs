//! The plots of a run, from the means over its epochs: losses, accuracies, local and global bound, shares of varying neurons;
//! as in Figures 2 and 3 of Huang et al. 2021. One curve for each loop and metric; what was never logged has none.

use super::words::is_share;
use crate::show::Series;
use crate::show::plot::{Drawing, Plot};
use serde_json::{Map, Value};

type Rows = [Map<String, Value>];

/// One plot: its file, what it shows, its y axis, is that logarithmic, and the name of a metric's curve, if it belongs here.
struct Kind {
    file: &'static str,
    title: &'static str,
    y_label: &'static str,
    log_y: bool,
    curve: fn(&str) -> Option<String>,
}

const KINDS: [Kind; 5] = [
    Kind { file: "losses", title: "Loss", y_label: "loss", log_y: false, curve: loss },
    Kind {
        file: "accuracies",
        title: "Accuracy (certified: estimate)",
        y_label: "% of the images",
        log_y: false,
        curve: accuracy,
    },
    Kind { file: "bounds", title: "Lipschitz bound (estimate)", y_label: "bound", log_y: true, curve: bound },
    Kind { file: "varying", title: "Neurons that vary", y_label: "% of all", log_y: false, curve: varying },
    Kind { file: "varying_layers", title: "Neurons that vary, by layer", y_label: "%", log_y: false, curve: layer },
];

fn loss(metric: &str) -> Option<String> {
    if metric == "loss" { Some("trained on".into()) } else { metric.strip_prefix("loss/").map(String::from) }
}

fn accuracy(metric: &str) -> Option<String> {
    let is = is_share(metric) && !metric.starts_with("varying/");
    is.then(|| metric.replace('/', " "))
}

fn bound(metric: &str) -> Option<String> {
    metric.strip_prefix("bound/").map(String::from)
}

fn varying(metric: &str) -> Option<String> {
    (metric == "varying/all").then(|| "all layers".into())
}

fn layer(metric: &str) -> Option<String> {
    metric.strip_prefix("varying/").filter(|name| *name != "all").map(String::from)
}

/// The plots that have something to show, with the names of their files.
pub fn plots(rows: &Rows) -> Vec<(&'static str, Plot)> {
    KINDS.iter().filter_map(|kind| Some((kind.file, plot(rows, kind)?))).collect()
}

fn plot(rows: &Rows, kind: &Kind) -> Option<Plot> {
    let loops = in_order(rows.iter().map(label));
    let mut series = vec![];
    for name in &loops {
        let own: Vec<_> = rows.iter().filter(|row| label(row) == *name).collect();
        let mut metrics = in_order(own.iter().flat_map(|row| row.keys().map(String::as_str)));
        // Layer 10 behind layer 9.
        metrics.sort_by_key(|metric| (metric.chars().filter(char::is_ascii_digit).count(), metric.to_string()));
        for metric in metrics {
            let Some(curve) = (kind.curve)(metric) else { continue };
            let scale = if is_share(metric) { 100.0 } else { 1.0 };
            let point = |row: &&Map<String, Value>| Some((number(row, "epoch")?, scale * number(row, metric)?));
            let points: Vec<_> = own.iter().filter_map(point).filter(|p| !kind.log_y || p.1 > 0.0).collect();
            if !points.is_empty() {
                let name = if loops.len() > 1 { format!("{name}: {curve}") } else { curve };
                series.push(Series { name: name.trim_start_matches(": ").into(), points });
            }
        }
    }
    (!series.is_empty()).then(|| Plot {
        title: kind.title.into(),
        x_label: "epoch".into(),
        y_label: kind.y_label.into(),
        log_y: kind.log_y,
        drawing: Drawing::Line,
        size: (620, 340),
        names_beside: true,
        series,
    })
}

fn number(row: &Map<String, Value>, key: &str) -> Option<f64> {
    row.get(key)?.as_f64()
}

fn label(row: &Map<String, Value>) -> &str {
    row.get("loop").and_then(Value::as_str).unwrap_or("")
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
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
        let names: Vec<_> = plots.iter().map(|(file, _)| *file).collect();
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
        assert_eq!((found[0].0, &*names), ("varying_layers", &["layer 2", "layer 10"][..]));
        assert!(plots(&[]).is_empty());
    }
}
