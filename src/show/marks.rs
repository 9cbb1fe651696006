//! Marks on the lines of a plot, another one for each series, so that a plot in print or without colours can be read.

/// The corners of a mark around its place, in pixels.
pub type Mark = Vec<(i32, i32)>;

/// How many marks a line of many points has.
const ON_A_LINE: usize = 5;

/// Of so few points each has a mark.
const FEW: usize = 8;

/// The mark of the series with this number: a disc, a square, a triangle, a diamond, a triangle on its tip, a plus, a cross, an hourglass, a bar.
pub fn mark(series: usize) -> Mark {
    let plus = |a: i32, b: i32| -> Mark {
        vec![(-a, -b), (-a, -a), (-b, -a), (-b, a), (-a, a), (-a, b), (a, b), (a, a), (b, a), (b, -a), (a, -a), (a, -b)]
    };
    match series % 9 {
        0 => vec![(-2, -4), (2, -4), (4, -2), (4, 2), (2, 4), (-2, 4), (-4, 2), (-4, -2)],
        1 => vec![(-4, -4), (4, -4), (4, 4), (-4, 4)],
        2 => vec![(0, -5), (5, 4), (-5, 4)],
        3 => vec![(0, -6), (6, 0), (0, 6), (-6, 0)],
        4 => vec![(0, 5), (5, -4), (-5, -4)],
        5 => plus(1, 5),
        6 => plus(1, 5).into_iter().map(|(x, y)| ((x - y) * 7 / 10, (x + y) * 7 / 10)).collect(),
        7 => vec![(-4, -5), (4, -5), (-4, 5), (4, 5)],
        _ => vec![(-5, -2), (5, -2), (5, 2), (-5, 2)],
    }
}

/// Where a line has its marks: of several series at other places each, so that they do not cover one another.
pub fn places(line: &[(f64, f64)], series: usize, of: usize) -> Vec<(f64, f64)> {
    if line.len() <= FEW {
        return line.to_vec();
    }
    let place = |i: usize| {
        let share = (i as f64 + (series as f64 + 0.5) / of.max(1) as f64) / ON_A_LINE as f64;
        line[(share * line.len() as f64) as usize % line.len()]
    };
    (0..ON_A_LINE).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_have_marks_and_places_of_their_own() {
        let line: Vec<(f64, f64)> = (0..300).map(|i| (f64::from(i), 0.0)).collect();
        for series in 0..9 {
            let others = (0..9).filter(|other| *other != series);
            for other in others {
                assert_ne!(mark(series), mark(other));
                let taken = places(&line, other, 9);
                assert!(places(&line, series, 9).iter().all(|place| !taken.contains(place)), "{series} {other}");
            }
        }
        assert_eq!(places(&line[..3], 1, 2), line[..3]);
    }
}
