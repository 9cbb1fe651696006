//! From comments to pages. The host's definitions and anybody's modules are written alike:
//!
//! ```text
//! //! What the page is about.
//!
//! /// What the function does.
//! ///
//! /// Options:
//! ///   stride (1): pixels between two windows.
//! /// Shapes: [B, C, H, W] to [B, channels, H', W'].
//! /// Values: units, and what is allowed.
//! /// Errors: a kernel of 0.
//! /// Example: conv2d(32, 3)            or indented lines below it
//! fn conv2d(channels: int, kernel: int) -> LayerSpec;
//! ```
//!
//! A first parameter `self: T` makes a method, `fn get name(self: T)` a property. Forms that follow each other share one
//! description. In a module, functions of one name do.

use super::page::{Choice, Entry, Form, Kind, Page};
use crate::script::language::lexical;

const LABELS: [&str; 5] = ["Options:", "Shapes:", "Values:", "Errors:", "Example:"];

/// The page that `text` holds.
pub fn parse(name: &str, text: &str) -> Page {
    let lines = lexical::lines(text);
    let mut page = Page { name: name.to_string(), about: vec![], entries: vec![] };
    let mut comment: Vec<&str> = vec![];
    let mut about: Vec<&str> = vec![];
    let mut open: Option<Entry> = None;
    for (i, line) in lines.iter().enumerate() {
        if let Some(rest) = line.strip_prefix("//!") {
            about.push(rest.strip_prefix(' ').unwrap_or(rest));
        } else if let Some(rest) = line.strip_prefix("///") {
            page.entries.extend(open.take());
            comment.push(rest.strip_prefix(' ').unwrap_or(rest));
        } else if let Some(form) = form(line) {
            let entry = open.get_or_insert_with(|| described(name, &std::mem::take(&mut comment), i + 1));
            entry.forms.push(form);
            if !line.trim_end().ends_with(';') {
                // A function with a body: it ends at the next `}` at the beginning of a line.
                let own = line.trim_end().ends_with('}');
                let end = if own { Some(0) } else { lines[i..].iter().position(|l| *l == "}") };
                entry.code.push(i + 1..i + 2 + end.unwrap_or(0));
                page.entries.extend(open.take());
            }
        } else {
            page.entries.extend(open.take());
            comment.clear();
        }
    }
    page.entries.extend(open);
    page.about = paragraphs(&about);
    merge(&mut page.entries);
    page
}

/// Functions of one name in a module are one entry.
fn merge(entries: &mut Vec<Entry>) {
    let mut merged: Vec<Entry> = vec![];
    for entry in std::mem::take(entries) {
        let same = |other: &&mut Entry| !entry.code.is_empty() && other.names() == entry.names();
        let Some(earlier) = merged.iter_mut().find(same) else {
            merged.push(entry);
            continue;
        };
        earlier.about.extend(entry.about);
        earlier.options.extend(entry.options);
        earlier.forms.extend(entry.forms);
        earlier.code.extend(entry.code);
        for (to, from) in [
            (&mut earlier.shapes, entry.shapes),
            (&mut earlier.values, entry.values),
            (&mut earlier.errors, entry.errors),
            (&mut earlier.example, entry.example),
        ] {
            if to.is_empty() {
                *to = from;
            }
        }
    }
    *entries = merged;
}

/// The description that a comment gives.
fn described(page: &str, comment: &[&str], line: usize) -> Entry {
    let mut entry = Entry { page: page.to_string(), line, ..Entry::default() };
    let start = comment.iter().position(|line| LABELS.iter().any(|label| line.starts_with(label)));
    let (about, rest) = comment.split_at(start.unwrap_or(comment.len()));
    entry.about = paragraphs(about);
    let mut label = "";
    for line in rest {
        let mut line = *line;
        if let Some(found) = LABELS.iter().find(|label| line.starts_with(**label)) {
            label = found;
            line = line[found.len()..].trim_start();
            if line.is_empty() {
                continue;
            }
        }
        match label {
            "Options:" => option(&mut entry.options, line),
            "Shapes:" => join(&mut entry.shapes, line),
            "Values:" => join(&mut entry.values, line),
            "Errors:" => join(&mut entry.errors, line),
            _ => {
                entry.example += line.strip_prefix("    ").unwrap_or(line);
                entry.example.push('\n');
            }
        }
    }
    entry.example = entry.example.trim_end().to_string();
    entry
}

fn join(text: &mut String, line: &str) {
    if !text.is_empty() && !line.trim().is_empty() {
        text.push(' ');
    }
    *text += line.trim();
}

/// `  stride (1): pixels between two windows`; deeper lines go on with it.
fn option(options: &mut Vec<Choice>, line: &str) {
    let starts = line.starts_with("  ") && !line[2..].starts_with(' ');
    if let Some((head, about)) = line.split_once("):").filter(|_| starts)
        && let Some((name, default)) = head.split_once(" (")
    {
        let (name, default) = (name.trim().to_string(), default.to_string());
        options.push(Choice { name, default, about: about.trim().to_string() });
    } else if let Some(last) = options.last_mut() {
        join(&mut last.about, line);
    }
}

/// Lines to paragraphs: joined up to a blank line; lists and indented blocks keep their lines.
pub(super) fn paragraphs(lines: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    let (mut fresh, mut fenced) = (true, false);
    for line in lines {
        let fence = line.starts_with("```");
        if line.trim().is_empty() && !fenced {
            fresh = true;
            continue;
        }
        let begins = line.starts_with("- ") || line.starts_with('|') || is_item(line);
        let kept = fenced || fence || line.starts_with("  ") || begins;
        match found.last_mut() {
            Some(last) if !fresh => {
                last.push(if kept { '\n' } else { ' ' });
                *last += line;
            }
            _ => found.push(line.to_string()),
        }
        if fence {
            fenced = !fenced;
        }
        fresh = false;
    }
    found
}

/// Does the line begin an item of a numbered list?
pub(super) fn is_item(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.len() && rest.starts_with(". ")
}

/// The form that a line declares, if it declares one that others can call.
fn form(line: &str) -> Option<Form> {
    if let Some(rest) = line.strip_prefix("const ") {
        let (name, kind) = rest.trim_end_matches(';').split_once(": ")?;
        return Some(Form { kind: Kind::Constant, name: name.into(), parameters: vec![], gives: kind.into() });
    }
    let (operator, rest) = match line.strip_prefix("op ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("fn ")?),
    };
    let (property, rest) = rest.strip_prefix("get ").map_or((false, rest), |rest| (true, rest));
    let open = rest.find('(')?;
    let name = rest[..open].to_string();
    let close = open + closing(&rest[open..])?;
    let parameters: Vec<(String, String)> = split(&rest[open + 1..close])
        .into_iter()
        .map(|part| match part.split_once(':') {
            Some((name, kind)) => (name.trim().to_string(), kind.trim().to_string()),
            None if operator => (String::new(), part.trim().to_string()),
            None => (part.trim().to_string(), String::new()),
        })
        .collect();
    let gives = rest[close + 1..].trim().strip_prefix("->").unwrap_or("");
    let gives = gives.trim().trim_end_matches(';').to_string();
    let kind = match parameters.first() {
        _ if operator => Kind::Operator,
        _ if property => Kind::Property,
        Some((name, _)) if name == "self" => Kind::Method,
        _ => Kind::Function,
    };
    Some(Form { kind, name, parameters, gives })
}

/// Where the bracket that `text` begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().find_map(|(i, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        (depth == 0).then_some(i)
    })
}

/// Parts between commas.
fn split(text: &str) -> Vec<&str> {
    text.split(',').filter(|part| !part.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "\
//! Layers.
//!
//! More about them.

/// A convolution. It has
/// a kernel.
///
/// Options:
///   stride (1): pixels
///     between windows.
/// Shapes: [B] to [B].
/// Errors: none.
/// Example: conv2d(1, 2)
fn conv2d(channels: int, columns: Tensor | ()) -> LayerSpec;
fn get shape(self: Tensor) -> array;
op -(Tensor) -> Tensor;
";

    #[test]
    fn definitions_are_read() {
        let page = parse("layers", HOST);
        assert_eq!(page.about, ["Layers.", "More about them."]);
        let [entry] = &page.entries[..] else { panic!("{:?}", page.entries) };
        assert_eq!(entry.about, ["A convolution. It has a kernel."]);
        assert_eq!(entry.summary(), "A convolution.");
        assert_eq!(entry.options[0].about, "pixels between windows.");
        assert_eq!((entry.example.as_str(), entry.lacks().len()), ("conv2d(1, 2)", 0));
        let shown: Vec<String> = entry.forms.iter().map(Form::shown).collect();
        assert_eq!(
            shown,
            ["conv2d(channels: int, columns: Tensor | ()) -> LayerSpec", "Tensor.shape -> array", "-Tensor -> Tensor"]
        );
    }

    #[test]
    fn modules_are_read() {
        let text = "/// One.\nfn f(a) { a }\n\n/// Two.\n/// Example:\n///     f(1, 2)\n///\n///     f(3, 4)\nfn f(a, b) {\n    a\n}\n\n\
                    private fn g() { 1 }\n// no description\nfn h() { 1 }\n";
        let page = parse("m", text);
        assert_eq!(page.entries.iter().map(Entry::names).collect::<Vec<_>>(), [["f"], ["h"]]);
        assert_eq!(page.entries[0].example, "f(1, 2)\n\nf(3, 4)");
        assert_eq!(page.entries[0].code, [2..3, 9..12]);
        assert_eq!(page.entries[1].lacks().len(), 4);
    }

    #[test]
    fn what_looks_like_a_function_in_a_string_or_a_comment_is_none() {
        let text = "/*\nfn old() { 1 }\n*/\n/// One.\nfn f() {\n    `\n}\nfn g() { 1 }\n`\n}\nfn h() { 1 }\n";
        let page = parse("m", text);
        assert_eq!(page.entries.iter().map(Entry::names).collect::<Vec<_>>(), [["f"], ["h"]]);
        assert_eq!(page.entries[0].code.first(), Some(&(5..11)));
    }
}
