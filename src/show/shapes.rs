//! What of a series is drawn: areas, lines and dots.

use super::distribution;

/// What the values are drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// Lines through the points.
    Line,
    /// Lines through the points, a new one after each point that is not finite: curves of several runs.
    Lines,
    /// The points, and a line through the means of those with one x: values of several seeds.
    Means,
    /// The points.
    Points,
    /// Bars of a histogram of the values y.
    Histogram,
}

/// The bins of a histogram.
const BINS: usize = 30;

type Point = (f64, f64);

/// What is drawn for the points of one series; all of it finite.
#[derive(Debug, Default, PartialEq)]
pub struct Shapes {
    pub areas: Vec<Vec<Point>>,
    pub lines: Vec<Vec<Point>>,
    pub dots: Vec<Point>,
}

impl Shapes {
    pub fn of(drawing: Drawing, points: &[Point]) -> Self {
        let finite: Vec<Point> = points.iter().copied().filter(is_finite).collect();
        match drawing {
            Drawing::Histogram => Self { areas: vec![outline(&finite)], ..Self::default() },
            Drawing::Points => Self { dots: finite, ..Self::default() },
            Drawing::Means => Self { lines: vec![means(finite.clone())], dots: finite, ..Self::default() },
            Drawing::Line => Self::through(vec![finite]),
            Drawing::Lines => Self::through(points.split(|p| !is_finite(p)).map(<[Point]>::to_vec).collect()),
        }
    }

    fn through(lines: Vec<Vec<Point>>) -> Self {
        // A line through one point would be nothing.
        let (dots, lines): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.len() < 2);
        Self { lines, dots: dots.concat(), ..Self::default() }
    }

    /// All points of all shapes.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.areas.iter().chain(&self.lines).flatten().chain(&self.dots)
    }
}

fn is_finite((x, y): &Point) -> bool {
    x.is_finite() && y.is_finite()
}

/// The mean y of the points with one x, by x.
fn means(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mean = |same: &[Point]| (same[0].0, same.iter().map(|p| p.1).sum::<f64>() / same.len() as f64);
    points.chunk_by(|a, b| a.0 == b.0).map(mean).collect()
}

/// The outline of a histogram of the heights of `points`.
fn outline(points: &[Point]) -> Vec<Point> {
    let values: Vec<f64> = points.iter().map(|p| p.1).collect();
    let Some(all) = distribution::summary(&values) else { return vec![] };
    let (low, width) =
        if all.high > all.low { (all.low, (all.high - all.low) / BINS as f64) } else { (all.low - 0.5, 1.0) };
    let counts = distribution::counts(&values, if all.high > all.low { BINS } else { 1 });
    let mut corners = vec![(low, 0.0)];
    for (i, n) in counts.iter().enumerate() {
        let (left, right) = (low + width * i as f64, low + width * (i + 1) as f64);
        corners.extend([(left, *n as f64), (right, *n as f64)]);
    }
    corners.push((low + width * counts.len() as f64, 0.0));
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_of_several_runs_are_lines_of_their_own_and_seeds_have_a_mean() {
        let (a, b) = (vec![(1.0, 4.0), (2.0, 3.0)], vec![(1.0, 2.0)]);
        let points = [a.clone(), vec![(f64::NAN, 0.0)], b.clone()].concat();
        let lines = Shapes::of(Drawing::Lines, &points);
        assert_eq!(lines, Shapes { lines: vec![a], dots: b, ..Shapes::default() });
        let means = Shapes::of(Drawing::Means, &points);
        assert_eq!((means.lines, means.dots.len()), (vec![vec![(1.0, 3.0), (2.0, 3.0)]], 3));
        assert_eq!(Shapes::of(Drawing::Line, &[]), Shapes::default());
    }
}
