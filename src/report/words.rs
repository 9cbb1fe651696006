//! Numbers and names as the report shows them.

use crate::show::short;
use serde_json::Value;

/// Is the value of this name a share of images or neurons? These are shown as percentages.
pub fn is_share(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let accuracy = ["clean", "pgd", "certified", "accuracy"].contains(&last);
    name.starts_with("varying/") || accuracy && !name.starts_with("loss/")
}

/// A value of a result or a metric.
pub fn value(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::Number(n) if is_share(name) => n.as_f64().map_or(n.to_string(), |x| format!("{:.1} %", 100.0 * x)),
        Value::Number(n) if n.is_f64() => short(n.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|item| self::value("", item)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// What the columns of a table of results mean, for those that are there.
pub fn definitions(names: &[&str]) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("eps", "radius of the l2 ball around an image, in the units of the images"),
        ("clean", "share of the images that the network classifies right"),
        ("pgd", "share that it still classifies right when an attack moves each within the radius"),
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
    all.into_iter().filter(|(name, _)| names.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_are_percentages_and_other_numbers_are_not() {
        assert_eq!(value("certified", &json!(0.878)), "87.8 %");
        assert_eq!(value("validation/clean", &json!(1.0)), "100.0 %");
        assert_eq!(value("loss/clean", &json!(0.51234)), "0.5123");
        assert_eq!(value("varying/layer 3", &json!(0.5)), "50.0 %");
        assert_eq!(value("unconverged", &json!(3)), "3");
        assert_eq!(value("pgd", &Value::Null), "–");
    }
}
