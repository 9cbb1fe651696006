//! Logged values as they stand in a line: the important ones first, shares in per cent.

use crate::run::numbers::names::{group, is_certified, is_share, per_cent};

/// The order in which values are shown; others follow by name.
const ORDER: [&str; 10] = ["loss", "clean", "accuracy", "pgd", "apgd", "certified", "eps", "epsilon", "kappa", "lr"];

/// `loss 0.51  clean 93.1 %  ...`. Names of a group, as `loss/robust`, are for the record alone.
pub fn line(values: &[(String, f64)]) -> String {
    let place = |name: &str| ORDER.iter().position(|o| *o == name).unwrap_or(ORDER.len());
    let mut shown: Vec<_> = values.iter().filter(|(name, _)| group(name).is_none()).collect();
    shown.sort_by_key(|(name, _)| (place(name), name));
    shown.iter().map(|(name, value)| metric(name, *value)).collect::<Vec<_>>().join("  ")
}

/// A logged value: shares as percentages, the rest with four significant digits.
fn metric(name: &str, value: f64) -> String {
    if is_share(name, &[value]) {
        // What is certified in training rests on a few power iterations: never without saying so.
        let kind = if is_certified(name) { " (estimate)" } else { "" };
        return format!("{name} {}{kind}", per_cent(value, 1));
    }
    let digits = match value.abs() {
        v if v == 0.0 || !v.is_finite() => return format!("{name} {value}"),
        v if v < 1e-3 => return format!("{name} {value:.2e}"),
        v if v < 10.0 => 4,
        v if v < 1000.0 => 2,
        _ => 0,
    };
    format!("{name} {value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_read_well() {
        assert_eq!(metric("certified", 0.6123), "certified 61.2 % (estimate)");
        assert_eq!(metric("val_acc", 0.5), "val_acc 50.0 %");
        assert_eq!(metric("certified@36/255", 0.25), "certified@36/255 25.0 % (estimate)");
        assert_eq!(metric("loss", 0.51234), "loss 0.5123");
        assert_eq!(metric("lr", 5e-6), "lr 5.00e-6");
    }

    #[test]
    fn the_loss_comes_first_and_groups_are_left_out() {
        let values = [("a", 2.0), ("clean", 0.5), ("loss", 0.25), ("loss/robust", 1.0)];
        let values = values.map(|(name, value)| (name.to_string(), value));
        assert_eq!(line(&values), "loss 0.2500  clean 50.0 %  a 2.0000");
    }
}
