//! Numbers and names as the report shows them.

use crate::run::names::{is_share, per_cent};
use crate::show::short;
use serde_json::Value;

/// A value of a result or a metric.
pub fn value(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::Number(n) => match n.as_f64() {
            Some(x) if is_share(name, &[x]) => per_cent(x, 1),
            Some(x) if n.is_f64() => short(x),
            _ => n.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|item| self::value("", item)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// What the columns of a table of results mean, for those that are there: `certified (robust, eps 0.1)` is one of them.
pub fn definitions(names: &[&str]) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("eps", "radius of the l2 ball around an image, in the units of the images"),
        ("clean", "share of the images that the network classifies right"),
        ("pgd", "share that it still classifies right when an attack moves each within the radius"),
        (
            "apgd",
            "the same for two attacks of AutoAttack, APGD-CE and then APGD-T; without its other two, it is no AutoAttack accuracy",
        ),
        (
            "certified",
            "share that is classified right and for which the bound leaves no point within the radius any other class",
        ),
        (
            "procedure",
            "exact: exact worst logits over the bound; published: worst logits by clip-and-enlarge. Norms are by power \
             iteration, which converges from below, so what these certify is an estimate",
        ),
        ("bound", "the bound that certifies: local Lipschitz bound, or one of its baselines"),
        ("unconverged", "images whose norms were still moving when the power iteration stopped"),
    ];
    let is_there = |name: &str| names.iter().any(|found| found.split(" (").next() == Some(name));
    all.into_iter().filter(|(name, _)| is_there(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_are_percentages_and_other_numbers_are_not() {
        assert_eq!(value("certified", &json!(0.878)), "87.8 %");
        assert_eq!(value("validation/clean", &json!(1.0)), "100.0 %");
        assert_eq!(value("val/certified 0.1", &json!(0.5)), "50.0 %");
        assert_eq!(value("loss/clean", &json!(0.51234)), "0.5123");
        assert_eq!(value("varying/layer 3", &json!(0.5)), "50.0 %");
        assert_eq!(value("unconverged", &json!(3)), "3");
        assert_eq!(value("pgd", &Value::Null), "–");
    }
}
