//! What all pages have in common: one file without a network or a script, the style, sections, figures.

use crate::show::plot::{Format, Plot};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::Path;

const STYLE: &str = include_str!("style.css");

/// The page's name in the folder of the run or the sweep.
pub const FILE: &str = "report.html";

/// A whole page: `lead` stands below the head. Sections without a text are left out.
pub fn document(title: &str, head: &str, lead: &Markup, sections: &[(&str, Markup)], footer: &str) -> String {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                link rel="icon" href="data:,";
                title { (title) }
                // Our own file; inside `style` nothing is escaped.
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (head) }
                    (lead)
                    @for (head, text) in sections.iter().filter(|(_, text)| !text.0.is_empty()) {
                        section { h2 { (head) } (text) }
                    }
                    footer { "Made by workbench " (env!("CARGO_PKG_VERSION")) " " (footer) "." }
                }
            }
        }
    };
    page.into_string()
}

/// Plots side by side where there is room.
pub fn figures<'a>(plots: impl IntoIterator<Item = &'a Plot>) -> Result<Markup, String> {
    let plots: Vec<Vec<u8>> = plots.into_iter().map(drawn).collect::<Result<_, _>>()?;
    Ok(html! {
        @if !plots.is_empty() {
            div.plots {
                // SVG is markup. plotters writes it from our numbers and escapes the names of curves and axes in it.
                @for svg in &plots { figure.wide { (PreEscaped(String::from_utf8_lossy(svg))) } }
            }
        }
    })
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
