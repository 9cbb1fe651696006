//! Curves in text, in Braille dots: two columns and four rows of dots in each character.

use super::screen::{Screen, short};

/// A named line through points.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend; may be empty.
    pub name: String,
    /// The points, in order.
    pub points: Vec<(f64, f64)>,
}

/// Colours of the series in turn, as ANSI codes.
const COLOURS: [&str; 6] = ["36", "33", "35", "32", "31", "34"];
/// Marks of the series in turn, where there are no colours to tell several apart.
const MARKS: [char; 6] = ['*', '+', 'o', 'x', '#', '%'];

/// All series over common axes. Points that are not finite are left out.
pub fn curve(series: &[Series], height: usize, screen: Screen) -> Vec<String> {
    let finite = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite();
    let all: Vec<&(f64, f64)> = series.iter().flat_map(|s| &s.points).filter(finite).collect();
    let ends = |f: &dyn Fn(&(f64, f64)) -> f64| {
        all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(f(p)), b.max(f(p))))
    };
    if all.is_empty() {
        return vec!["no finite points".into()];
    }
    let ((left, right), (low, high)) = (ends(&|p| p.0), ends(&|p| p.1));
    let labels = [short(high), short((low + high) / 2.0), short(low)];
    let margin = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let width = screen.width.saturating_sub(margin + 3).clamp(10, 72);
    let place = |p: &(f64, f64)| {
        let share = |x: f64, a: f64, b: f64| if b > a { (x - a) / (b - a) } else { 0.5 };
        (share(p.0, left, right) * (width * 2 - 1) as f64, share(high - p.1, 0.0, high - low) * (height * 4 - 1) as f64)
    };
    let marked = series.len() > 1 && !screen.colours;
    // Dots, and the series that drew last, of every character.
    let mut cells = vec![vec![(0u8, 0usize); width]; height];
    for (number, one) in series.iter().enumerate() {
        let points: Vec<(f64, f64)> = one.points.iter().filter(finite).map(place).collect();
        let mut dots: Vec<(usize, usize)> =
            points.iter().map(|p| (p.0.round() as usize, p.1.round() as usize)).collect();
        dots.extend(points.windows(2).flat_map(|ends| between(ends[0], ends[1])));
        for (x, y) in dots {
            let cell = &mut cells[y / 4][x / 2];
            *cell = (cell.0 | dot(x % 2, y % 4), number);
        }
    }
    let mut lines = vec![];
    for (row, cells) in cells.iter().enumerate() {
        let label = match row {
            0 => &labels[0],
            r if r == height / 2 && height > 4 => &labels[1],
            r if r + 1 == height => &labels[2],
            _ => "",
        };
        let drawn: String = cells
            .iter()
            .map(|(dots, number)| match dots {
                0 => " ".to_string(),
                _ if marked => MARKS[number % MARKS.len()].to_string(),
                dots => screen.styled(
                    COLOURS[number % COLOURS.len()],
                    &char::from_u32(0x2800 + u32::from(*dots)).unwrap_or('.').to_string(),
                ),
            })
            .collect();
        lines.push(format!("{label:>margin$} ┤{drawn}").trim_end().to_string());
    }
    let (start, end) = (short(left), short(right));
    let gap = (width + 1).saturating_sub(start.chars().count() + end.chars().count()).max(1);
    lines.push(format!("{}└{}", " ".repeat(margin + 1), "─".repeat(width)));
    lines.push(format!("{}{start}{}{end}", " ".repeat(margin + 1), " ".repeat(gap)));
    if series.iter().any(|s| !s.name.is_empty()) {
        let names = series.iter().enumerate().map(|(i, s)| {
            let mark = if marked { MARKS[i % MARKS.len()].to_string() } else { "─".into() };
            format!("{} {}", screen.styled(COLOURS[i % COLOURS.len()], &mark), s.name)
        });
        lines.push(format!("{}{}", " ".repeat(margin + 2), names.collect::<Vec<_>>().join("   ")));
    }
    lines
}

/// The dots on the way from one point to the next.
fn between(from: (f64, f64), to: (f64, f64)) -> Vec<(usize, usize)> {
    let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil().max(1.0) as usize;
    let at = |a: f64, b: f64, i: usize| (a + (b - a) * i as f64 / steps as f64).round() as usize;
    (0..=steps).map(|i| (at(from.0, to.0, i), at(from.1, to.1, i))).collect()
}

/// The bit of a Braille character for the dot in this column (of 2) and row (of 4).
fn dot(column: usize, row: usize) -> u8 {
    [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]][row][column]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_rises() {
        let line = Series { name: String::new(), points: vec![(0.0, 0.0), (1.0, f64::NAN), (2.0, 4.0)] };
        let text = curve(&[line], 3, Screen { width: 16, colours: false });
        assert_eq!(text.len(), 5);
        assert!(text[0].starts_with("4 ┤") && text[2].starts_with("0 ┤"), "{text:?}");
        assert!(text[0].chars().count() > text[2].chars().count(), "{text:?}");
        assert!(text[4].trim().starts_with('0') && text[4].ends_with('2'), "{text:?}");
    }

    #[test]
    fn several_lines_are_told_apart_without_colours() {
        let one = |name: &str, y: f64| Series { name: name.into(), points: vec![(0.0, y), (1.0, y)] };
        let text = curve(&[one("low", 0.0), one("high", 1.0)], 4, Screen { width: 30, colours: false });
        assert!(text[0].contains("++") && text[3].contains("**"), "{text:?}");
        assert!(text.last().is_some_and(|l| l.contains("* low   + high")), "{text:?}");
        assert_eq!(curve(&[], 4, Screen::PLAIN), ["no finite points"]);
    }
}
