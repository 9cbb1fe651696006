//! How the results of a sweep hang on its settings: each result over each setting that takes several numbers, a point for each
//! seed and a line through the means.

use super::curves::SIZE;
use super::groups::{named, safe};
use crate::run::archive::outcome::{Outcome, result_names};
use crate::run::names::{is_loss, is_share};
use crate::run::sweep::{Point, Sweep};
use crate::show::Series;
use crate::show::plot::{Drawing, Plot, TOLD_APART};

/// Values that span more than this get a logarithmic axis.
const WIDE: f64 = 20.0;

/// The plots, with the names of their files.
pub fn plots(sweep: &Sweep, outcomes: &[Outcome]) -> Vec<(String, Plot)> {
    let varying = sweep.varying();
    let mut found = vec![];
    for result in result_names(outcomes) {
        for at in &varying {
            let (key, values) = &sweep.settings[*at];
            let numbers: Option<Vec<f64>> = values.iter().map(|value| numeric(value)).collect();
            let Some(numbers) = numbers else { continue };
            let others: Vec<usize> = varying.iter().copied().filter(|other| other != at).collect();
            let series = series(sweep, outcomes, result, *at, &others);
            let plot = plot(result, key, &numbers, series);
            found.push((safe(&format!("{result} by {key}")), plot));
        }
    }
    named(found)
}

/// A setting's value as a number, also as a fraction.
fn numeric(value: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    match value.split_once('/') {
        None => number(value),
        Some((above, below)) => Some(number(above)? / number(below)?).filter(|x| x.is_finite()),
    }
}

/// A series for each combination of the other settings, as far as there are colours for them.
fn series(sweep: &Sweep, outcomes: &[Outcome], result: &str, at: usize, others: &[usize]) -> Vec<Series> {
    let apart = told_apart(sweep, others);
    let mut found: Vec<Series> = vec![];
    for outcome in outcomes {
        let x = numeric(&outcome.point.set[at].1);
        let Some((x, y)) = x.zip(outcome.value(result)) else { continue };
        let name = described(&outcome.point, &apart);
        match found.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push((x, y)),
            None => found.push(Series { name, points: vec![(x, y)] }),
        }
    }
    found
}

fn plot(result: &str, key: &str, numbers: &[f64], mut series: Vec<Series>) -> Plot {
    let values: Vec<f64> = series.iter().flat_map(|series| &series.points).map(|p| p.1).collect();
    let shares = is_share(result, &values);
    if shares {
        series.iter_mut().flat_map(|series| &mut series.points).for_each(|p| p.1 *= 100.0);
    }
    let ends = numbers.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    Plot {
        title: result.into(),
        x_label: key.into(),
        y_label: match () {
            () if shares => "%".into(),
            () if is_loss(result) => "loss".into(),
            () => "value".into(),
        },
        log_x: ends.0 > 0.0 && ends.1 / ends.0 >= WIDE,
        log_y: false,
        whole: false,
        drawing: Drawing::Means,
        size: SIZE,
        names_below: true,
        series,
    }
}

/// Those of the settings whose combinations have a colour each; the first that fit.
pub fn told_apart(sweep: &Sweep, settings: &[usize]) -> Vec<usize> {
    let (mut kept, mut count) = (vec![], 1);
    for at in settings {
        let more = count * sweep.settings[*at].1.len();
        if more <= TOLD_APART {
            kept.push(*at);
            count = more;
        }
    }
    kept
}

/// The values of some settings, in a few words.
pub fn described(point: &Point, settings: &[usize]) -> String {
    let one = |at: &usize| format!("{} {}", point.set[*at].0, point.set[*at].1);
    settings.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(settings: &[(&str, &[&str])]) -> Sweep {
        let setting =
            |(key, values): &(&str, &[&str])| (key.to_string(), values.iter().map(|v| v.to_string()).collect());
        Sweep {
            script: "a.rhai".into(),
            settings: settings.iter().map(setting).collect(),
            seeds: vec![0, 1],
            device: "cpu".into(),
            threads: 1,
            sources_digest: None,
            arguments: vec![],
        }
    }

    #[test]
    fn a_result_is_drawn_over_each_numeric_setting_with_a_point_for_each_seed() {
        let sweep = sweep(&[("lr", &["1e-4", "1e-2"]), ("eps", &["36/255"]), ("method", &["a", "b"])]);
        let outcome = |(i, point): (usize, Point)| {
            let results = if i == 7 { vec![] } else { vec![("clean (x)".to_string(), 0.1 * i as f64)] };
            Outcome { point, status: "finished".into(), run: None, results, said: None }
        };
        let outcomes: Vec<Outcome> = sweep.points().unwrap().into_iter().enumerate().map(outcome).collect();
        let plots = plots(&sweep, &outcomes);
        assert_eq!(plots.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(), ["clean_x_by_lr"]);
        let plot = &plots[0].1;
        assert!(plot.log_x && plot.y_label == "%");
        let points = |i: usize| plot.series[i].points.iter().map(|p| (p.0, p.1.round())).collect::<Vec<_>>();
        assert_eq!(
            (plot.series[0].name.as_str(), points(0)),
            ("method a", vec![(1e-4, 0.0), (1e-4, 10.0), (1e-2, 40.0), (1e-2, 50.0)])
        );
        assert_eq!(
            (plot.series[1].name.as_str(), points(1)),
            ("method b", vec![(1e-4, 20.0), (1e-4, 30.0), (1e-2, 60.0)])
        );
    }

    #[test]
    fn colours_are_for_the_settings_that_fit() {
        let many: Vec<String> = (0..20).map(|i| i.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let sweep =
            sweep(&[("a", &many), ("b", &["1", "2", "3"]), ("c", &["1", "2", "3", "4"]), ("d", &["1", "2", "3"])]);
        assert_eq!(told_apart(&sweep, &[0, 1, 2, 3]), [1, 3]);
        assert_eq!(
            ["36/255", "1e-3", "x", "1/0", "[1]", "nan"].map(numeric).map(|x| x.is_some()),
            [true, true, false, false, false, false]
        );
    }
}
