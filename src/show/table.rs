//! Tables that fit the screen: aligned columns, words flush left and numbers flush right; or a record for each row where the
//! screen is too narrow.

use super::screen::Screen;
use crate::base::text::printable;

/// The first column keeps at least so many characters.
const LEAST: usize = 20;

/// The table as lines. Rows must be as long as the head; missing cells are left blank.
pub fn table(head: &[String], rows: &[Vec<String>], screen: Screen) -> Vec<String> {
    // A cell may come from a file that somebody sent.
    let cell = |row: &Vec<String>, i: usize| row.get(i).map_or(String::new(), |cell| printable(cell));
    let head: &[String] = &head.iter().map(|name| printable(name)).collect::<Vec<_>>();
    let mut filled: Vec<Vec<String>> = rows.iter().map(|row| (0..head.len()).map(|i| cell(row, i)).collect()).collect();
    let mut wide: Vec<usize> = (0..head.len())
        .map(|i| filled.iter().map(|row| &row[i]).chain([&head[i]]).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let beyond = (wide.iter().sum::<usize>() + 2 * wide.len().saturating_sub(1)).saturating_sub(screen.width);
    if beyond > 0 {
        // The first column, names as a rule, may lose its end.
        if wide[0] < LEAST + beyond {
            return records(head, &filled, screen);
        }
        wide[0] -= beyond;
        filled.iter_mut().for_each(|row| row[0] = clipped(&row[0], wide[0]));
    }
    let words: Vec<bool> = (0..head.len()).map(|i| i == 0 || filled.iter().any(|row| is_word(&row[i]))).collect();
    let line = |cells: &[String]| {
        let aligned = cells.iter().enumerate().map(|(i, cell)| {
            let gap = " ".repeat(wide[i] - cell.chars().count());
            if words[i] { format!("{cell}{gap}") } else { format!("{gap}{cell}") }
        });
        aligned.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let rule = "─".repeat(wide.iter().sum::<usize>() + 2 * wide.len().saturating_sub(1));
    let mut lines = vec![screen.bold(&line(head)), screen.dim(&rule)];
    lines.extend(filled.iter().map(|row| line(row)));
    lines
}

/// Words, and not a number that is written in letters.
fn is_word(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_alphabetic() && c != 'N' && c != 'i') || cell.contains('(') || cell.contains('_')
}

/// The first cell of each row as a heading, the others below it by name.
fn records(head: &[String], rows: &[Vec<String>], screen: Screen) -> Vec<String> {
    let wide = head.iter().skip(1).map(|name| name.chars().count()).max().unwrap_or(0);
    let mut lines = vec![];
    for row in rows {
        lines.push(screen.bold(&clipped(&row[0], screen.width)));
        for (name, cell) in head.iter().zip(row).skip(1).filter(|(_, cell)| !cell.is_empty()) {
            let gap = " ".repeat(wide - name.chars().count());
            lines.push(format!("  {name}{gap}  {}", clipped(cell, screen.width.saturating_sub(wide + 4))));
        }
    }
    lines
}

/// The beginning of a text, with `…` where it goes on.
pub fn clipped(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_screens_get_records() {
        let head: Vec<String> = ["layer", "box width", "norm"].map(String::from).to_vec();
        let rows = vec![vec!["0 conv2d(16, 3)".to_string(), "0.25".into(), "1.5".into()], vec!["1 relu()".into()]];
        let wide = table(&head, &rows, Screen::PLAIN);
        assert_eq!(wide[0], "layer            box width  norm");
        assert_eq!(wide.len(), 4);
        let words = table(
            &["n", "name", "x"].map(String::from),
            &[["1", "relu()", "2.5"].map(String::from).to_vec()],
            Screen::PLAIN,
        );
        assert_eq!(words[0], "n  name      x");
        let long = vec![vec!["0 conv2d(16, 3, #{ stride: 1 })".to_string(), "0.25".into(), "1.5".into()]];
        let clipped = table(&head, &long, Screen { width: 40, colours: false });
        assert_eq!(clipped[2], "0 conv2d(16, 3, #{ str…       0.25   1.5");
        let narrow = table(&head, &rows, Screen { width: 20, colours: false });
        assert_eq!(narrow, ["0 conv2d(16, 3)", "  box width  0.25", "  norm       1.5", "1 relu()"]);
    }
}
