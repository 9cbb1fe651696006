//! Numbers and durations as a person reads them.

use super::names::{is_certified, is_share, per_cent};
use std::time::Duration;

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs_f64();
    match s {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 99.5 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
        s => format!("{} h {:02} min", s as u64 / 3600, s as u64 % 3600 / 60),
    }
}

/// A logged value: shares as percentages, the rest with four significant digits.
pub fn metric(name: &str, value: f64) -> String {
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

/// The order in which values are shown; others follow by name.
pub const ORDER: [&str; 9] = ["loss", "clean", "accuracy", "pgd", "certified", "eps", "epsilon", "kappa", "lr"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_metrics_read_well() {
        assert_eq!(duration(Duration::from_millis(420)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(duration(Duration::from_secs(7500)), "2 h 05 min");
        assert_eq!(metric("certified", 0.6123), "certified 61.2 % (estimate)");
        assert_eq!(metric("val_acc", 0.5), "val_acc 50.0 %");
        assert_eq!(metric("certified@36/255", 0.25), "certified@36/255 25.0 % (estimate)");
        assert_eq!(metric("loss", 0.51234), "loss 0.5123");
        assert_eq!(metric("lr", 5e-6), "lr 5.00e-6");
    }
}
