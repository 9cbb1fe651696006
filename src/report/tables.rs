//! Tables and lists in HTML. All text is escaped here.

use crate::show::escaped;

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub text: String,
    /// What a click leads to, beside the page.
    pub link: Option<String>,
    /// How it is shown: a class of the style.
    pub class: &'static str,
    /// Is it the best of its kind?
    pub best: bool,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl Cell {
    /// What stands in the cell.
    pub fn inner(&self) -> String {
        let mut text = escaped(&self.text);
        if let Some(link) = &self.link {
            text = format!("<a href=\"{}\">{text}</a>", escaped(link));
        }
        if self.best { format!("<mark>{text}</mark>") } else { text }
    }

    fn html(&self) -> String {
        let text = self.inner();
        let class = match self.class {
            // Checksums and addresses may be broken anywhere, short words may not.
            "" if self.text.chars().count() > 40 => "long",
            class => class,
        };
        if class.is_empty() { format!("<td>{text}</td>") } else { format!("<td class=\"{class}\">{text}</td>") }
    }
}

/// A table of cells; `class` says how the columns stand: `numbers`, or nothing for text.
pub fn cells(head: &[String], rows: &[Vec<Cell>], class: &str) -> String {
    let head: String = head.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    let row = |row: &Vec<Cell>| format!("<tr>{}</tr>\n", row.iter().map(Cell::html).collect::<String>());
    let body: String = rows.iter().map(row).collect();
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<div class=\"wide\"><table{class}>\n<tr>{head}</tr>\n{body}</table></div>\n")
}

/// A table of texts. The first column is text, the others are numbers if `numbers`.
pub fn table(head: &[&str], rows: &[Vec<String>], numbers: bool) -> String {
    let head: Vec<String> = head.iter().map(|name| name.to_string()).collect();
    let rows: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(|text| text.as_str().into()).collect()).collect();
    cells(&head, &rows, if numbers { "numbers" } else { "" })
}

/// Names and values, one under the other.
pub fn list(pairs: &[(String, String)]) -> String {
    let line = |(name, value): &(String, String)| format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(value));
    format!("<dl>\n{}</dl>\n", pairs.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_links_are_escaped() {
        let cell = Cell { text: "<b>".into(), link: Some("\"><i>".into()), class: "good", best: true };
        let text = cells(&["<u>".into()], &[vec![cell]], "numbers");
        let row = "<tr><td class=\"good\"><mark><a href=\"&quot;&gt;&lt;i&gt;\">&lt;b&gt;</a></mark></td></tr>";
        assert!(text.contains(row) && text.contains("<th>&lt;u&gt;</th>"), "{text}");
    }
}
