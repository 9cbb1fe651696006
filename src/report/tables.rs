//! Tables and lists in HTML.

use super::words::definitions;
use maud::{Markup, Render, html};

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
    pub fn inner(&self) -> Markup {
        let text = match &self.link {
            Some(link) => html! { a href=(link) { (self.text) } },
            None => html! { (self.text) },
        };
        if self.best {
            html! { mark { (text) } }
        } else {
            text
        }
    }

    fn class(&self) -> Option<&'static str> {
        match self.class {
            // Checksums and addresses may be broken anywhere, short words may not.
            "" => (self.text.chars().count() > 40).then_some("long"),
            class => Some(class),
        }
    }
}

/// A table of cells; `class` says how the columns stand: `numbers`, or nothing for text.
pub fn cells(head: &[String], rows: &[Vec<Cell>], class: Option<&str>) -> Markup {
    html! {
        div.wide {
            table class=[class] {
                tr { @for name in head { th { (name) } } }
                @for row in rows {
                    tr { @for cell in row { td class=[cell.class()] { (cell.inner()) } } }
                }
            }
        }
    }
}

/// A table of texts. The first column is text, the others are numbers if `numbers`.
pub fn table(head: &[&str], rows: &[Vec<String>], numbers: bool) -> Markup {
    let head: Vec<String> = head.iter().map(|name| name.to_string()).collect();
    let rows: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(|text| text.as_str().into()).collect()).collect();
    cells(&head, &rows, numbers.then_some("numbers"))
}

/// Names and values, one under the other.
pub fn list<T: Render>(pairs: &[(T, T)]) -> Markup {
    html! { dl { @for (name, value) in pairs { dt { (name) } dd { (value) } } } }
}

/// What the columns of a table of results mean, below it.
pub fn meaning(names: &[&str]) -> Markup {
    let known = definitions(names);
    html! { @if !known.is_empty() { div.meaning { (list(&known)) } } }
}

/// Parts with commas between them.
pub fn joined(parts: impl IntoIterator<Item = Markup>) -> Markup {
    html! {
        @for (i, part) in parts.into_iter().enumerate() {
            @if i > 0 { ", " }
            (part)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_links_are_escaped() {
        let cell = Cell { text: "<b>".into(), link: Some("\"><i>".into()), class: "good", best: true };
        let text = cells(&["<u>".into()], &[vec![cell]], Some("numbers")).into_string();
        let row = "<tr><td class=\"good\"><mark><a href=\"&quot;&gt;&lt;i&gt;\">&lt;b&gt;</a></mark></td></tr>";
        assert!(text.contains(row) && text.contains("<th>&lt;u&gt;</th>"), "{text}");
    }
}
