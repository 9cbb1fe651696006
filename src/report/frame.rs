//! What all pages have in common: one file without a network or a script, the style, sections, figures.

use crate::show::escaped;
use crate::show::plot::{Format, Plot};
use std::path::Path;

const STYLE: &str = include_str!("style.css");

/// The page's name in the folder of the run or the sweep.
pub const FILE: &str = "report.html";

/// A whole page. `title`, `head` and `footer` are text, `lead` and the sections are HTML; sections without a text are left out.
pub fn document(title: &str, head: &str, lead: &str, sections: &[(&str, String)], footer: &str) -> String {
    let section = |(head, text): &(&str, String)| format!("<section>\n<h2>{head}</h2>\n{text}</section>\n");
    let body: String = sections.iter().filter(|(_, text)| !text.is_empty()).map(section).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n<p class=\"lead\">{lead}</p>\n{body}\
         <footer>Made by workbench {} {}.</footer>\n</main>\n</body>\n</html>\n",
        escaped(title),
        escaped(head),
        env!("CARGO_PKG_VERSION"),
        escaped(footer),
    )
}

/// Plots side by side where there is room.
pub fn figures<'a>(plots: impl IntoIterator<Item = &'a Plot>) -> Result<String, String> {
    let mut text = String::new();
    for plot in plots {
        text += &format!("<figure class=\"wide\">{}</figure>\n", String::from_utf8_lossy(&drawn(plot)?));
    }
    Ok(if text.is_empty() { text } else { format!("<div class=\"plots\">\n{text}</div>\n") })
}

/// The folder's own name, also where it is given as `.`.
pub fn name(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    full.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A plot as SVG.
pub fn drawn(plot: &Plot) -> Result<Vec<u8>, String> {
    plot.render(Format::Svg).map_err(|e| format!("report: {e}"))
}
