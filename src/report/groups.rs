//! Which plot a logged number belongs in, and what the plot's file is called. No number is left out: what is of no known kind
//! is drawn with the others of its group, as far as one axis does for them.

use crate::run::names::{group, is_accuracy, is_loss, is_share};
use crate::show::plot::Plot;

/// A number as it was logged: its name, its values over all loops.
pub struct Metric {
    pub name: String,
    pub values: Vec<f64>,
}

/// Numbers on one pair of axes.
#[derive(Debug, PartialEq)]
pub struct Group {
    /// The file's name without its ending; another group may have the same.
    pub file: String,
    pub title: String,
    pub y_label: &'static str,
    pub log_y: bool,
    /// Are the values shares, drawn in per cent?
    pub shares: bool,
    /// The names as they were logged, and those of their curves.
    pub metrics: Vec<(String, String)>,
}

/// A known kind: its file, what it shows, its y axis, is that logarithmic, are its values shares.
const KINDS: [(&str, &str, &str, bool, bool); 5] = [
    ("losses", "Loss", "loss", false, false),
    ("accuracies", "Accuracy (certified: estimate)", "% of the images", false, true),
    ("bounds", "Lipschitz bound (estimate)", "bound", true, false),
    ("varying", "Neurons that vary", "% of all", false, true),
    ("varying_layers", "Neurons that vary, by layer", "%", false, true),
];

/// Two curves are put on one axis if neither makes the other flat.
const APART: f64 = 20.0;
/// What spans more than this gets a logarithmic axis.
const WIDE: f64 = 100.0;

/// All metrics, each in one group.
pub fn groups(metrics: &[Metric]) -> Vec<Group> {
    let mut found: Vec<Group> = vec![];
    let kinds: Vec<Option<(usize, String)>> = metrics.iter().map(kind).collect();
    for (number, (file, title, y_label, log_y, shares)) in KINDS.into_iter().enumerate() {
        let of = kinds.iter().zip(metrics).filter_map(|(kind, metric)| Some((kind.as_ref()?, metric)));
        let own =
            of.filter(|((at, _), _)| *at == number).map(|((_, curve), metric)| (metric.name.clone(), curve.clone()));
        let metrics: Vec<_> = own.collect();
        if !metrics.is_empty() {
            found.push(Group { file: file.into(), title: title.into(), y_label, log_y, shares, metrics });
        }
    }
    // What is a share of something else has an axis of its own.
    let others: Vec<&Metric> = metrics.iter().zip(&kinds).filter(|(_, kind)| kind.is_none()).map(|(m, _)| m).collect();
    let (shares, others): (Vec<&Metric>, Vec<&Metric>) =
        others.into_iter().partition(|metric| is_share(&metric.name, &metric.values));
    if !shares.is_empty() {
        let metrics = shares.iter().map(|metric| (metric.name.clone(), spaced(&metric.name))).collect();
        let title = "Shares".into();
        found.push(Group { file: "shares".into(), title, y_label: "%", log_y: false, shares: true, metrics });
    }
    let mut prefixes: Vec<&str> = vec![];
    for metric in &others {
        let prefix = group(&metric.name).unwrap_or("");
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    }
    for prefix in prefixes {
        let own = others.iter().filter(|metric| group(&metric.name).unwrap_or("") == prefix);
        for near in by_scale(own.copied().collect()) {
            found.push(other(prefix, &near));
        }
    }
    found
}

/// The known kind that a metric is of, and the name of its curve there.
fn kind(metric: &Metric) -> Option<(usize, String)> {
    let name = metric.name.as_str();
    let rest = |prefix: &str| name.strip_prefix(prefix).map(String::from);
    match () {
        () if name == "loss" => Some((0, "trained on".into())),
        () if is_loss(name) => Some((0, rest("loss/").unwrap_or_else(|| spaced(name)))),
        () if name == "varying/all" => Some((3, "all layers".into())),
        () if name.starts_with("varying/") => rest("varying/").map(|layer| (4, layer)),
        () if is_accuracy(name) && is_share(name, &metric.values) => Some((1, spaced(name))),
        // On a logarithmic axis there is no 0.
        () if metric.values.iter().any(|x| *x > 0.0) => rest("bound/").map(|bound| (2, bound)),
        () => None,
    }
}

/// The name with a blank behind its group.
pub fn spaced(name: &str) -> String {
    match group(name) {
        Some(group) => format!("{group} {}", &name[group.len() + 1..]),
        None => name.into(),
    }
}

/// The metrics in bundles of a like size, the smallest first.
fn by_scale(mut metrics: Vec<&Metric>) -> Vec<Vec<&Metric>> {
    let scale = |metric: &Metric| metric.values.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    metrics.sort_by(|a, b| scale(a).total_cmp(&scale(b)));
    let mut bundles: Vec<Vec<&Metric>> = vec![];
    let mut smallest = 0.0;
    for metric in metrics {
        match bundles.last_mut() {
            Some(bundle) if smallest == 0.0 || scale(metric) <= APART * smallest => bundle.push(metric),
            _ => {
                bundles.push(vec![metric]);
                smallest = 0.0;
            }
        }
        // What is 0 throughout lies well beside anything.
        smallest = if smallest == 0.0 { scale(metric) } else { smallest };
    }
    bundles
}

fn other(prefix: &str, metrics: &[&Metric]) -> Group {
    let (name, title) = match (metrics, prefix) {
        ([one], _) => (one.name.as_str(), spaced(&one.name)),
        (_, "") => ("other", "Other values".into()),
        (_, prefix) => (prefix, prefix.to_string()),
    };
    let curve = |metric: &&Metric| match prefix {
        "" => metric.name.clone(),
        prefix => metric.name[prefix.len() + 1..].to_string(),
    };
    let log_y = metrics.iter().all(|metric| metric.values.iter().all(|x| *x > 0.0))
        && metrics.iter().any(|metric| is_wide(&metric.values));
    let metrics = metrics.iter().map(|metric| (metric.name.clone(), curve(metric))).collect();
    Group { file: safe(name), title, y_label: "value", log_y, shares: false, metrics }
}

/// Do the values need a logarithmic axis?
pub fn is_wide(values: &[f64]) -> bool {
    let ends = values.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    ends.0 > 0.0 && ends.1 / ends.0 >= WIDE
}

/// A name as a file may be called on every system: small letters, digits, `-`, `_` and `.`.
pub fn safe(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match c {
            c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => out.push(c),
            _ if out.ends_with('_') => {}
            _ => out.push('_'),
        }
    }
    let short: String = out.trim_matches(['_', '.', '-']).chars().take(60).collect();
    if short.is_empty() { "metric".into() } else { short }
}

/// The plots, each with a file name of its own.
pub fn named(plots: impl IntoIterator<Item = (String, Plot)>) -> Vec<(String, Plot)> {
    let mut found: Vec<(String, Plot)> = vec![];
    for (name, plot) in plots {
        let numbered = (2..).map(|i| format!("{name}_{i}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let free = names.find(|name| !found.iter().any(|(taken, _)| taken == name));
        found.push((free.unwrap_or(name), plot));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(metrics: &[(&str, &[f64])]) -> Vec<(String, String)> {
        let metric = |(name, values): &(&str, &[f64])| Metric { name: name.to_string(), values: values.to_vec() };
        let names =
            |group: &Group| group.metrics.iter().map(|(_, curve)| curve.as_str()).collect::<Vec<_>>().join(", ");
        let all: Vec<Metric> = metrics.iter().map(metric).collect();
        groups(&all).iter().map(|group| (group.file.clone(), names(group))).collect()
    }

    fn are(found: &[(String, String)], wanted: &[(&str, &str)]) {
        assert_eq!(found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn every_number_is_in_a_plot() {
        let one: &[f64] = &[0.5, 0.25];
        let found = shown(&[
            ("loss", one),
            ("validation/acc", one),
            ("val/certified 0.1", one),
            ("certified@36/255", one),
            ("test_loss", one),
            ("bound/local", one),
            ("bound/none", &[0.0, 0.0]),
            ("lr", &[1e-3, 1e-3]),
            ("my_metric", &[5.0]),
            ("accuracy", &[93.1]),
            ("varying/layer 2", one),
            ("share of dead neurons", one),
        ]);
        are(
            &found,
            &[
                ("losses", "trained on, test_loss"),
                ("accuracies", "validation acc, val certified 0.1, certified@36/255"),
                ("bounds", "local"),
                ("varying_layers", "layer 2"),
                ("shares", "share of dead neurons"),
                ("bound_none", "none"),
                ("lr", "lr"),
                ("other", "my_metric, accuracy"),
            ],
        );
    }

    #[test]
    fn what_is_of_one_group_and_one_size_shares_a_plot() {
        let found = shown(&[
            ("grad/conv", &[1.0]),
            ("grad/linear", &[3.0]),
            ("grad/all", &[900.0]),
            ("grad/zero", &[0.0]),
            ("losses", &[1e5]),
            ("Grad", &[-1e9]),
        ]);
        are(&found, &[("losses", "losses"), ("grad", "zero, conv, linear"), ("grad_all", "all"), ("grad", "Grad")]);
    }

    #[test]
    fn file_names_are_safe() {
        let names = ["val/certified 0.1", "../../etc/x", "<b>", "größe", "...", "CON/%00\n", "a\\b:c"].map(safe);
        assert_eq!(names, ["val_certified_0.1", "etc_x", "b", "gr_e", "metric", "con_00", "a_b_c"]);
        assert_eq!(safe(&"x".repeat(500)).len(), 60);
    }
}
