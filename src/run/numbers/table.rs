//! Plain text tables: the first column flush left, the others flush right, one line of dashes under the head.

/// A table as text, without a newline at its end. Every row must be as long as the head.
pub fn table(head: &[String], rows: &[Vec<String>]) -> Result<String, String> {
    if let Some((i, row)) = rows.iter().enumerate().find(|(_, r)| r.len() != head.len()) {
        return Err(format!("table: row {i} has {} cells, the head has {}", row.len(), head.len()));
    }
    let width = |c: usize| rows.iter().map(|r| &r[c]).chain([&head[c]]).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cell = |(i, (s, w)): (usize, (&String, &usize))| {
            let pad = " ".repeat(w - s.chars().count());
            if i == 0 { format!("{s}{pad}") } else { format!("{pad}{s}") }
        };
        cells.iter().zip(&widths).enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    let mut lines = vec![line(head), "-".repeat(widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1))];
    lines.extend(rows.iter().map(|r| line(r)));
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_aligned() {
        let s = |cells: &[&str]| cells.iter().map(|c| c.to_string()).collect::<Vec<_>>();
        let text = super::table(&s(&["net", "clean"]), &[s(&["plain", "9.5"]), s(&["robust", "10.25"])]);
        assert_eq!(text.as_deref(), Ok("net     clean\n-------------\nplain     9.5\nrobust  10.25"));
        assert!(super::table(&s(&["a"]), &[vec![]]).is_err());
    }
}
