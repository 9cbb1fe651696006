//! The documentation in a terminal.

use super::Docs;
use super::find::Found;
use super::guide::{Chapter, chapters};
use super::page::{Entry, Page};
use super::parse::{is_item, paragraphs};
use crate::show::Screen;

/// What was found under a name.
pub fn found(found: &Found, docs: &Docs, screen: Screen) -> String {
    match found {
        Found::Entries(entries) => {
            entries.iter().map(|entry| self::entry(entry, docs, screen)).collect::<Vec<_>>().join("\n\n")
        }
        Found::Page(page) => self::page(page, screen),
        Found::Chapter(chapter) => self::chapter(chapter, screen),
        Found::Guide => guide(screen).join("\n"),
        Found::Type(name, entries) => {
            let mut lines = vec![screen.bold(name), String::new()];
            for entry in entries {
                let forms = entry.forms.iter().filter(|form| form.owner() == name);
                lines.extend(forms.flat_map(|form| code(&form.shown(), screen)));
                lines.extend(dimmed(&screen.wrap(entry.summary(), 4), screen));
            }
            lines.join("\n")
        }
    }
}

/// One entry in full.
pub fn entry(entry: &Entry, docs: &Docs, screen: Screen) -> String {
    let module = docs.page(&entry.page).filter(|page| page.is_module()).map_or("", Page::alias);
    let mut lines: Vec<String> = vec![];
    for form in &entry.forms {
        let path = if module.is_empty() { String::new() } else { format!("{module}::") };
        lines.extend(code(&format!("{path}{}", form.shown()), screen));
    }
    for paragraph in &entry.about {
        lines.push(String::new());
        lines.extend(block(paragraph, screen));
    }
    if !entry.options.is_empty() {
        lines.extend([String::new(), screen.bold("Options")]);
        for option in &entry.options {
            let text = format!("{} ({}): {}", option.name, option.default, option.about);
            let wrapped = screen.wrap(&text, 4);
            for (i, line) in wrapped.iter().enumerate() {
                let line = if i == 0 { line[2..].to_string() } else { line.clone() };
                lines.push(if i == 0 { line.replacen(&option.name, &screen.code(&option.name), 1) } else { line });
            }
        }
    }
    lines.push(String::new());
    for (label, text) in [("Shapes", &entry.shapes), ("Values", &entry.values), ("Errors", &entry.errors)] {
        if !text.is_empty() {
            let mut wrapped = screen.wrap(&format!("{label} {text}"), 2);
            if let Some(first) = wrapped.first_mut() {
                *first = first[2..].replacen(label, &screen.bold(label), 1);
            }
            lines.extend(wrapped);
        }
    }
    if !entry.example.is_empty() {
        lines.extend([String::new(), screen.bold("Example")]);
        lines.extend(entry.example.lines().map(|line| screen.code(&format!("  {line}")).trim_end().to_string()));
    }
    if entry.page.contains('/') {
        lines.extend([String::new(), screen.dim(&format!("{}:{}", entry.page, entry.line))]);
    }
    lines.join("\n")
}

/// A page: what it is about, and a line for each function.
pub fn page(page: &Page, screen: Screen) -> String {
    let mut lines = vec![screen.bold(&page.name)];
    for paragraph in &page.about {
        lines.push(String::new());
        lines.extend(block(paragraph, screen));
    }
    if page.is_module() {
        lines.extend([String::new(), screen.code(&format!("import \"{}\" as {};", page.name, page.alias()))]);
    }
    lines.push(String::new());
    for entry in &page.entries {
        let names = if page.is_module() {
            entry.forms.last().map(|form| form.shown()).unwrap_or_default()
        } else {
            let names = entry.names();
            let owner = entry.forms.first().map_or("", |form| form.owner());
            if owner.is_empty() { names.join(", ") } else { format!("{owner}.{}", names.join(", .")) }
        };
        lines.extend(code(&names, screen));
        lines.extend(dimmed(&screen.wrap(entry.summary(), 4), screen));
    }
    lines.join("\n")
}

/// A chapter of the guide.
fn chapter(chapter: &Chapter, screen: Screen) -> String {
    let mut lines: Vec<String> = vec![];
    for section in chapter.sections() {
        lines.extend([screen.bold(&section.heading), String::new()]);
        for paragraph in paragraphs(&section.text.lines().collect::<Vec<_>>()) {
            match paragraph.strip_prefix("```") {
                Some(fenced) => lines.extend(snippet(fenced, screen)),
                None => lines.extend(block(&paragraph, screen)),
            }
            lines.push(String::new());
        }
    }
    lines.join("\n").trim_end().to_string()
}

/// A block of code behind its fence, whose first line names the language.
fn snippet(fenced: &str, screen: Screen) -> Vec<String> {
    let code = fenced.lines().skip(1).filter(|line| !line.starts_with("```"));
    code.map(|line| if line.is_empty() { String::new() } else { screen.code(&format!("    {line}")) }).collect()
}

/// All pages, a line each.
pub fn overview(docs: &Docs, screen: Screen) -> String {
    let mut lines = guide(screen);
    for (heading, modules) in [("Functions that are always there", false), ("Modules to import", true)] {
        let pages = docs.pages.iter().filter(|page| page.is_module() == modules);
        let pages: Vec<(String, &str)> = pages.map(|page| (page.name.clone(), page.title())).collect();
        lines.push(String::new());
        lines.extend(list(heading, &pages, screen));
    }
    lines.join("\n")
}

/// The chapters of the guide, a line each.
fn guide(screen: Screen) -> Vec<String> {
    let chapters: Vec<(String, &str)> = chapters().map(|chapter| (chapter.name(), chapter.title())).collect();
    list("The guide", &chapters, screen)
}

/// Names with what they are about, below a heading.
fn list(heading: &str, names: &[(String, &str)], screen: Screen) -> Vec<String> {
    /// Room for the longest name.
    const WIDE: usize = 18;
    let mut lines = vec![screen.bold(heading), String::new()];
    for (name, about) in names {
        if screen.width < 70 {
            lines.push(screen.code(&format!("  {name}")));
            lines.extend(screen.wrap(about, 4));
            continue;
        }
        for (i, line) in screen.wrap(about, WIDE + 4).iter().enumerate() {
            let name = if i == 0 { format!("  {name:<WIDE$}  ") } else { String::new() };
            let rest = if i == 0 { &line[WIDE + 4..] } else { line };
            lines.push(format!("{}{rest}", screen.code(&name)));
        }
    }
    lines
}

/// A paragraph: wrapped, but for code and lists, which keep their lines.
fn block(paragraph: &str, screen: Screen) -> Vec<String> {
    if !paragraph.contains('\n') && !paragraph.starts_with("    ") {
        return screen.wrap(paragraph, 0);
    }
    if paragraph.starts_with('|') {
        return rows(paragraph, screen);
    }
    let lines = paragraph.lines().filter(|line| !line.starts_with("```"));
    lines
        .flat_map(|line| {
            if line.starts_with("- ") || is_item(line) || !line.starts_with(' ') && line.len() > screen.width {
                screen.wrap(line, 0)
            } else {
                vec![line.to_string()]
            }
        })
        .collect()
}

/// A table row by row: what a row is about, then its other cells, each with the head of its column where there are several.
fn rows(table: &str, screen: Screen) -> Vec<String> {
    let cells = |line: &str| -> Vec<String> {
        line.trim()
            .trim_matches('|')
            .replace("\\|", "\u{1}")
            .split('|')
            .map(|cell| cell.trim().replace('\u{1}', "|"))
            .collect()
    };
    let head = cells(table.lines().next().unwrap_or_default());
    let mut lines = vec![];
    for row in table.lines().skip(2) {
        let row = cells(row);
        lines.extend(screen.wrap(row.first().map_or("", String::as_str), 0).iter().map(|line| screen.bold(line)));
        for (cell, name) in row.iter().zip(&head).skip(1).filter(|(cell, _)| !cell.is_empty()) {
            let label = if head.len() > 2 && !name.is_empty() { format!("{name}: ") } else { String::new() };
            lines.extend(screen.wrap(&format!("{label}{cell}"), 4));
        }
    }
    lines
}

/// Code that may be broken between its parameters.
fn code(text: &str, screen: Screen) -> Vec<String> {
    let mut lines = screen.wrap(text, 4);
    if let Some(first) = lines.first_mut() {
        *first = first[4..].to_string();
    }
    lines.iter().map(|line| screen.code(line)).collect()
}

fn dimmed(lines: &[String], screen: Screen) -> Vec<String> {
    lines.iter().map(|line| screen.dim(line)).collect()
}
