//! Pages of HTML in one file: no scripts, no network, light and dark, narrow and on paper.

use super::html::escaped;

const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
@media print { body { margin: 0; max-width: none; } }
";

/// A table; all cells are text.
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(|row| line("td", row)).collect();
    format!("<div class=\"wide\"><table>\n{}{rows}</table></div>\n", line("th", head))
}

/// A whole page; `title` is text, `body` is HTML.
pub fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         {body}</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_stays_text() {
        let page = super::page("a < b", &super::table(&["<script>".into()], &[vec!["\"&'".into()]]));
        assert!(page.contains("<h1>a &lt; b</h1>") && page.contains("<th>&lt;script&gt;</th>"));
        assert!(page.contains("<td>&quot;&amp;'</td>") && !page.contains("<script>"));
    }
}
