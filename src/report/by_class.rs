//! Class by class: what each was classified as, and how much of it withstands attacks and is certified.

use super::robustness::{Evaluation, first};
use super::tables::table;
use crate::run::names::per_cent;
use crate::show::short;
use maud::{Markup, html};
use serde_json::Value;

/// The key of a result's counts.
pub const BY_CLASS: &str = "by_class";

/// Kinds of success and their names, in the order of columns.
const COLUMNS: [(&str, &str); 5] =
    [("clean", "clean"), ("pgd", "pgd"), ("apgd", "apgd"), ("robust", "withstood attacks"), ("certified", "certified")];

/// So many classes are shown at once; more are folded up.
const SHOWN: usize = 20;

/// The tables of the evaluation that the page shows first, at its largest radius.
pub fn by_class<'a>(all: &'a [Evaluation<'a>]) -> Markup {
    let counted =
        |e: &'a Evaluation<'a>| Some((e, e.results.iter().rev().find(|(_, result)| result.contains_key(BY_CLASS))?));
    let Some((evaluation, (eps, result))) = first(all).into_iter().chain(all).find_map(counted) else {
        return Markup::default();
    };
    let counts = &result[BY_CLASS];
    let images = numbers(&counts["images"]);
    let column = |(key, name): &(&str, &'static str)| -> Option<(&'static str, Vec<u64>)> {
        let own = numbers(&counts[*key]);
        let fits = own.len() == images.len() && own.iter().zip(&images).all(|(n, of)| n <= of);
        fits.then_some((*name, own))
    };
    let columns: Vec<(&str, Vec<u64>)> = COLUMNS.iter().filter_map(column).collect();
    let head: Vec<&str> = ["class", "images"].into_iter().chain(columns.iter().map(|(name, _)| *name)).collect();
    let row = |class: usize| -> Vec<String> {
        let share = |own: &Vec<u64>| match images[class] {
            0 => "–".into(),
            n => per_cent(own[class] as f64 / n as f64, 1),
        };
        let shares = columns.iter().map(|(_, own)| share(own));
        [class.to_string(), images[class].to_string()].into_iter().chain(shares).collect()
    };
    let rows: Vec<Vec<String>> = (0..images.len()).map(row).collect();
    let classes = table(&head, &rows, true);
    html! {
        p.note { "At eps " (short(*eps)) @if !evaluation.name.is_empty() { ", " (evaluation.name) } "." }
        div.plots {
            div {
                @if images.len() <= SHOWN { (classes) }
                @else { details { summary { (images.len()) " classes" } (classes) } }
            }
            (confusion(&counts["confusion"]))
        }
    }
}

/// How often each label, a row, was predicted as each class, a column.
fn confusion(matrix: &Value) -> Markup {
    let rows: Vec<Vec<u64>> = matrix.as_array().into_iter().flatten().map(numbers).collect();
    if rows.is_empty() || rows.len() > SHOWN || rows.iter().any(|row| row.len() != rows.len()) {
        return Markup::default();
    }
    html! {
        div.wide {
            table.numbers.confusion {
                tr { th { "label, predicted as" } @for class in 0..rows.len() { th { (class) } } }
                @for (label, row) in rows.iter().enumerate() {
                    tr {
                        th { (label) }
                        @for (class, count) in row.iter().enumerate() {
                            td class=[if class == label { Some("right") } else if *count > 0 { Some("wrong") } else { None }] {
                                @if *count > 0 { (count) } @else { "·" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The counts of a list, none where one of them is no count.
fn numbers(list: &Value) -> Vec<u64> {
    let count =
        |n: &Value| n.as_u64().or_else(|| n.as_f64().filter(|x| *x >= 0.0 && x.fract() == 0.0).map(|x| x as u64));
    list.as_array()
        .map(|list| list.iter().map(count).collect::<Option<Vec<_>>>().unwrap_or_default())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::robustness::evaluations;
    use super::*;
    use crate::run::Record;
    use serde_json::json;

    #[test]
    fn classes_have_shares_of_their_own_images() {
        let counts = json!({ "images": [4, 0], "clean": [3, 0], "certified": [1, 0], "confusion": [[3, 1], [0, 0]] });
        let result = |eps: f64| json!({ "eps": eps, "certified": 0.25, "by_class": counts });
        let record = Record { results: vec![result(0.1), result(0.2)], ..Record::default() };
        let text = by_class(&evaluations(&record)).into_string();
        for part in
            ["At eps 0.2", "<td>75.0 %</td>", "<td>25.0 %</td>", "<td>–</td>", "class=\"right\"", "class=\"wrong\""]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        // Whatever a folder of somebody else's says, the page is made.
        let odd = json!({ "eps": 0.1, "certified": 0.5, "by_class": { "images": [1], "clean": "x", "confusion": 3 } });
        let record = Record { results: vec![odd], ..Record::default() };
        assert!(by_class(&evaluations(&record)).into_string().contains("<td>0</td>"));
        let odd = json!({ "eps": 0.1, "certified": 0.5, "by_class": { "images": [1, 1], "clean": [9, 1], "certified": [1, null] } });
        let record = Record { results: vec![odd], ..Record::default() };
        let text = by_class(&evaluations(&record)).into_string();
        assert!(!text.contains("clean") && !text.contains("certified"), "more than all of them, or no counts: {text}");
    }
}
