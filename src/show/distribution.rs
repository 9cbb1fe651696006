//! Distributions in text: a histogram with a bar for each bin, or one line of blocks.

use super::screen::{Screen, short};

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What a set of numbers is like, as far as it is finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Smallest finite value.
    pub low: f64,
    /// Largest finite value.
    pub high: f64,
    /// Mean of the finite values.
    pub mean: f64,
    /// How many are NaN or infinite.
    pub not_finite: usize,
}

/// The summary of `values`, or nothing if none is finite.
pub fn summary(values: &[f64]) -> Option<Summary> {
    let finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    let count = finite.len();
    (count > 0).then(|| Summary {
        low: finite.iter().copied().fold(f64::INFINITY, f64::min),
        high: finite.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        mean: finite.iter().sum::<f64>() / count as f64,
        not_finite: values.len() - count,
    })
}

/// How many of the finite `values` fall into each of `bins` equal parts of their range.
pub fn counts(values: &[f64], bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins.max(1)];
    let Some(all) = summary(values) else { return counts };
    let width = (all.high - all.low) / counts.len() as f64;
    for x in values.iter().filter(|x| x.is_finite()) {
        let bin = if width > 0.0 { ((x - all.low) / width) as usize } else { 0 };
        let last = counts.len() - 1;
        counts[bin.min(last)] += 1;
    }
    counts
}

/// One line: a block for each bin, as high as the bin is full.
pub fn sparkline(values: &[f64], bins: usize) -> String {
    let counts = counts(values, bins);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    // What is there at all is seen.
    counts.iter().map(|n| EIGHTHS[if *n == 0 { 0 } else { (n * 8 / most).max(1) }]).collect()
}

/// A histogram: a line for each bin with its range, a bar, and how many values it holds.
pub fn histogram(values: &[f64], bins: usize, screen: Screen) -> Vec<String> {
    let Some(all) = summary(values) else { return vec!["no finite values".into()] };
    let bins = if all.low == all.high { 1 } else { bins.max(1) };
    let counts = counts(values, bins);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let edge = |i: usize| short(all.low + (all.high - all.low) * i as f64 / bins as f64);
    let labels: Vec<String> = (0..bins).map(|i| format!("{} .. {}", edge(i), edge(i + 1))).collect();
    let wide = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let digits = most.to_string().len();
    let room = screen.width.saturating_sub(wide + digits + 4).clamp(4, 60);
    let mut lines: Vec<String> = labels
        .iter()
        .zip(&counts)
        .map(|(label, n)| format!("{label:>wide$}  {}  {n}", screen.styled("36", &bar(*n, most, room))))
        .collect();
    if all.not_finite > 0 {
        lines.push(format!("{} values are NaN or infinite", all.not_finite));
    }
    lines
}

/// A bar of `n` of `most`, to an eighth of a column.
fn bar(n: usize, most: usize, room: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = n * room * 8 / most;
    let eighths = if n > 0 { eighths.max(1) } else { 0 };
    let drawn = "█".repeat(eighths / 8) + PARTS[eighths % 8];
    let blank = room - drawn.chars().count();
    format!("{drawn}{}", " ".repeat(blank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_cover_the_range_and_nan_is_counted() {
        let values = [0.0, 0.1, 0.9, 1.0, f64::NAN, 1.0];
        assert_eq!(counts(&values, 2), [2, 3]);
        assert_eq!(sparkline(&values, 4), "▅  █");
        let lines = histogram(&values, 2, Screen { width: 30, colours: false });
        assert_eq!(lines[0].trim_end(), "0 .. 0.5  ███████████▎       2");
        assert_eq!(lines[2], "1 values are NaN or infinite");
        assert_eq!(histogram(&[2.0, 2.0], 8, Screen::PLAIN).len(), 1);
        assert_eq!(histogram(&[f64::NAN], 8, Screen::PLAIN), ["no finite values"]);
    }
}
