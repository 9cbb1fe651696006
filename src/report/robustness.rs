//! The first screen of a run's page: how robust, by which proof, at what cost.
//!
//! Results are put together by what they are of (network, method, procedure, bound); the radii of one are a curve. At radius 0 nothing moves:
//! there all curves meet at the clean accuracy.

use super::curves::{SIZE, number};
use super::frame::figures;
use crate::run::names::per_cent;
use crate::run::{Record, time};
use crate::show::Series;
use crate::show::plot::{Drawing, Plot, TOLD_APART};
use crate::show::short;
use maud::{Markup, html};
use serde_json::{Map, Value};

/// What is measured at a radius, in the order in which curves lie: the lowest first.
const MEASURED: [(&str, &str); 4] = [("certified", "certified"), ("apgd", "APGD"), ("pgd", "PGD"), ("clean", "clean")];

/// What a result is of.
const OF: [&str; 6] = ["network", "method", "procedure", "bound", "arithmetic", "evaluation"];

/// What is the same at all radii: the clean accuracy, and how many images there are.
const SAME: [&str; 2] = ["clean", "images"];

type Same<'a> = [Option<&'a Value>; 2];

/// The results of one network by one bound, by radius.
pub struct Evaluation<'a> {
    /// The texts of `OF` that tell it from the others of its run.
    pub name: String,
    /// By radius.
    pub results: Vec<(f64, &'a Map<String, Value>)>,
}

/// The certified evaluations among a run's results.
pub fn evaluations(record: &Record) -> Vec<Evaluation<'_>> {
    let stated = record.results.iter().filter_map(Value::as_object);
    let certified =
        stated.filter_map(|result| Some((number(result, "eps")?, number(result, "certified").map(|_| result)?)));
    let mut found: Vec<(([&str; 6], Same), Evaluation)> = vec![];
    for (eps, result) in certified {
        let of = OF.map(|key| result.get(key).and_then(Value::as_str).unwrap_or(""));
        let of = (of, SAME.map(|key| result.get(key)));
        let at = found.iter().position(|(known, _)| *known == of);
        let at = at.unwrap_or_else(|| {
            found.push((of, Evaluation { name: String::new(), results: vec![] }));
            found.len() - 1
        });
        // Stated twice: the last counts, as it does everywhere else.
        found[at].1.results.retain(|(other, _)| *other != eps);
        found[at].1.results.push((eps, result));
    }
    let differs = |k: usize| found.iter().any(|((of, _), _)| of[k] != found[0].0.0[k]);
    let differs: Vec<usize> = (0..OF.len()).filter(|k| differs(*k)).collect();
    let mut names: Vec<String> = vec![];
    for ((of, _), evaluation) in &mut found {
        let told: Vec<&str> = differs.iter().map(|k| of[*k]).filter(|text| !text.is_empty()).collect();
        let name = told.join(", ");
        // Of other images, or of another network that has no name.
        let before = names.iter().filter(|other| **other == name).count();
        evaluation.name =
            if before == 0 { name.clone() } else { format!("{name} ({})", before + 1).trim().to_string() };
        names.push(name);
        evaluation.results.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    found.into_iter().map(|(_, evaluation)| evaluation).collect()
}

impl Evaluation<'_> {
    /// The curve of one quantity, in per cent.
    pub fn curve(&self, key: &str) -> Vec<(f64, f64)> {
        let mut points: Vec<(f64, f64)> =
            self.results.iter().filter_map(|(eps, result)| Some((*eps, 100.0 * number(result, key)?))).collect();
        let clean =
            self.results.first().and_then(|(eps, result)| (*eps > 0.0).then(|| number(result, "clean")).flatten());
        if let (false, Some(clean)) = (points.is_empty(), clean) {
            points.insert(0, (0.0, 100.0 * clean));
        }
        points
    }

    /// What certifies.
    pub fn bound(&self) -> Option<&str> {
        self.results.first().and_then(|(_, result)| result.get("bound")?.as_str())
    }

    /// Are these proofs, not estimates?
    fn is_proved(&self) -> bool {
        self.bound().is_some_and(|bound| ["rigorous", "audit", "probabilistic"].contains(&bound))
    }

    /// What it certifies at the largest radius.
    fn last(&self) -> (f64, f64) {
        self.results.last().map_or((0.0, 0.0), |(eps, result)| (*eps, number(result, "certified").unwrap_or(0.0)))
    }
}

/// The evaluation that a page shows first: of proofs, where there are some, of those at the largest radius the one that certifies most.
pub fn first<'a>(all: &'a [Evaluation<'a>]) -> Option<&'a Evaluation<'a>> {
    let compare = |a: &&Evaluation, b: &&Evaluation| {
        let ((a_eps, most), (b_eps, other)) = (a.last(), b.last());
        a.is_proved().cmp(&b.is_proved()).then(a_eps.total_cmp(&b_eps)).then(most.total_cmp(&other))
    };
    // Of equals the first.
    all.iter().rev().max_by(compare)
}

/// On what the certified share of a result rests.
pub fn proof(result: &Map<String, Value>) -> String {
    let text = |key: &str| result.get(key).and_then(Value::as_str);
    let by = match text("bound") {
        Some("rigorous" | "audit") if text("arithmetic") == Some("f32") => {
            "proved of the network as it runs in f32, in whatever order it sums".to_string()
        }
        Some("rigorous" | "audit") => {
            "proved of the network in exact arithmetic: the bounds' own roundings are all accounted for".into()
        }
        Some("probabilistic") => {
            "proved but for a small probability over numbers that nobody knew before: what was printed states it".into()
        }
        Some("estimate") => "an estimate: norms by power iteration, from below".into(),
        Some(bound @ ("local" | "global" | "ball" | "lmt")) => {
            format!("an estimate by the bound {bound}: norms by power iteration, from below")
        }
        Some(bound) => format!("by the bound {bound}, roundings not accounted for"),
        None => return String::new(),
    };
    let own =
        result.get("own").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    if own.is_empty() { by } else { format!("{by}; rests on the script's own bounds: {}", own.join(", ")) }
}

/// The first screen, or nothing for a run that certified nothing.
pub fn robustness<'a>(record: &Record, all: &'a [Evaluation<'a>]) -> Result<Markup, String> {
    let Some(shown) = first(all) else { return Ok(Markup::default()) };
    let plots = plots(all, shown);
    Ok(html! {
        div.first {
            div.tiles { @for (eps, result) in shown.results.iter().rev().take(3).rev() { (tile(*eps, result)) } }
            p.note {
                @if !shown.name.is_empty() { b { (shown.name) } ": " }
                (proof(shown.results[0].1)) "."
            }
            (cost(record))
            (figures(plots.iter())?)
        }
    })
}

/// The numbers at one radius.
fn tile(eps: f64, result: &Map<String, Value>) -> Markup {
    let share = |key: &str| number(result, key).filter(|x| (0.0..=1.0).contains(x)).map(|x| per_cent(x, 1));
    html! {
        div.tile {
            span.large { (share("certified").unwrap_or("–".into())) }
            " certified at eps " (short(eps))
            span.beside {
                @for (key, name) in MEASURED.iter().skip(1) {
                    @if let Some(share) = share(key) { span { (share) " " (*name) } }
                }
                @if let Some(images) = number(result, "images") { span { (images) " images" } }
            }
        }
    }
}

/// Time, machine, and what the command line set.
fn cost(record: &Record) -> Markup {
    let given: Vec<String> =
        record.settings.iter().filter(|s| s.given).map(|s| format!("{}={}", s.key, s.value)).collect();
    html! {
        p.note {
            @if record.seconds > 0.0 { (time(record.seconds)) " on " }
            @if let Some(processes) = record.processes { (processes) " processes of " }
            (record.device) ", " (record.threads) @if record.threads == 1 { " thread" } @else { " threads" }
            @if record.precision.to_string() != "f32" { ", " (record.precision) } ", seed " (record.seed) ". "
            @if given.is_empty() { @if !record.settings.is_empty() { "All settings are the script's own." } }
            @else { "Other than in the script: " @for (i, setting) in given.iter().enumerate() { @if i > 0 { ", " } mark { (setting) } } "." }
        }
    }
}

/// The curves of what is shown first, and what each evaluation certifies.
fn plots(all: &[Evaluation], shown: &Evaluation) -> Vec<Plot> {
    let title =
        if shown.name.is_empty() { "Accuracy against the radius".into() } else { format!("Accuracy: {}", shown.name) };
    let measured = MEASURED.iter().map(|(key, name)| Series { name: name.to_string(), points: shown.curve(key) });
    let mut plots = vec![radii(title, measured.filter(|series| series.points.len() > 1).collect())];
    if all.len() > 1 {
        let mut most: Vec<&Evaluation> = all.iter().collect();
        most.sort_by(|a, b| b.last().1.total_cmp(&a.last().1));
        let certified = |of: &&Evaluation| Series { name: of.name.clone(), points: of.curve("certified") };
        let count = most.len().min(TOLD_APART);
        let title = if count < all.len() {
            format!("Certified, the first {count} of {}", all.len())
        } else {
            "Certified".into()
        };
        plots.push(radii(title, most[..count].iter().map(certified).collect()));
    }
    plots.retain(|plot| !plot.series.is_empty());
    plots
}

/// A plot over the radius.
pub fn radii(title: String, series: Vec<Series>) -> Plot {
    Plot {
        title,
        x_label: "eps".into(),
        y_label: "% of the images".into(),
        log_x: false,
        log_y: false,
        whole: true,
        drawing: Drawing::Line,
        size: SIZE,
        names_below: true,
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(results: &[Value]) -> Record {
        Record { results: results.to_vec(), ..Record::default() }
    }

    #[test]
    fn radii_of_one_network_are_a_curve_that_begins_at_the_clean_accuracy() {
        let at = |network: &str, eps: f64, certified: f64| json!({ "network": network, "bound": "rigorous", "eps": eps, "clean": 0.9, "pgd": certified, "certified": certified });
        let look = json!({ "evaluation": "look", "eps": 0.1, "certified/own": 0.5 });
        let record = record(&[at("a", 0.2, 0.5), at("b", 0.2, 0.25), look, at("a", 0.1, 0.75), at("b", 0.2, 0.625)]);
        let all = evaluations(&record);
        let names: Vec<_> = all.iter().map(|e| (e.name.as_str(), e.results.len())).collect();
        assert_eq!(names, [("a", 2), ("b", 1)]);
        assert_eq!(all[0].curve("certified"), [(0.0, 90.0), (0.1, 75.0), (0.2, 50.0)]);
        assert_eq!(all[1].curve("certified"), [(0.0, 90.0), (0.2, 62.5)], "the last statement counts");
        assert_eq!(all[0].curve("apgd"), [], "what was not measured has no curve");
        assert_eq!(first(&all).map(|e| e.name.as_str()), Some("b"));
    }

    #[test]
    fn other_networks_and_other_images_are_no_curve() {
        let at = |eps: f64, clean: f64, images: u32| json!({ "bound": "rigorous", "eps": eps, "clean": clean, "images": images, "certified": 0.5 });
        let record = record(&[at(0.1, 0.9, 40), at(0.3, 0.1, 40), at(0.2, 0.9, 40), at(0.3, 0.9, 20)]);
        let all = evaluations(&record);
        let found: Vec<_> = all.iter().map(|e| (e.name.as_str(), e.results.len())).collect();
        assert_eq!(found, [("", 2), ("(2)", 1), ("(3)", 1)]);
    }

    #[test]
    fn a_proof_comes_before_an_estimate_that_claims_more() {
        let at = |bound: &str, eps: f64, certified: f64| json!({ "bound": bound, "eps": eps, "certified": certified });
        let record = record(&[at("local", 0.5, 0.9), at("rigorous", 0.25, 0.5), at("audit", 0.25, 0.625)]);
        assert_eq!(first(&evaluations(&record)).map(|e| e.name.clone()).as_deref(), Some("audit"));
    }

    #[test]
    fn the_first_screen_says_what_is_certified_by_which_proof_and_what_was_set() {
        let result = json!({ "bound": "rigorous", "eps": 0.5, "clean": 0.9, "certified": 0.596, "images": 386, "own": ["<leaky>"] });
        let mut record = record(&[result]);
        record.settings = vec![crate::run::Setting { key: "lr".into(), value: "<1>".into(), given: true }];
        let text = robustness(&record, &evaluations(&record)).expect("drawn").into_string();
        for part in [
            "59.6 %",
            "certified at eps 0.5",
            "90.0 % clean",
            "386 images",
            "all accounted for",
            "own bounds: &lt;leaky&gt;",
            "lr=&lt;1&gt;",
            "<svg",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let bare = self::record(&[json!({ "eps": 0.1, "clean": 1.0 })]);
        assert_eq!(robustness(&bare, &evaluations(&bare)).expect("nothing").into_string(), "");
    }
}
