//! What a user is shown when something is wrong: a message, the place with its line and a caret, and notes.

use crate::base::interrupt;
use crate::base::text::printable;
use crate::base::text::tokens::code;
use codespan_reporting::diagnostic::{Diagnostic, Label};
use codespan_reporting::files::SimpleFile;
use codespan_reporting::term::{self, termcolor::Buffer};
use std::ops::Range;
use std::rc::Rc;

/// A place in a source; line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as shown.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// Its column.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is wrong, and the way out where there is one.
    pub message: String,
    /// Where, with the file's text.
    pub place: Option<(Place, Rc<str>)>,
    /// More to know: other signatures, the call stack.
    pub notes: Vec<String>,
}

impl Report {
    /// A message without a place.
    pub fn bare(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, notes: vec![] }
    }

    /// The report as text, with ANSI colours if `colour`.
    pub fn render(&self, colour: bool) -> String {
        let notes = self.notes.iter().map(|note| printable(note)).collect();
        let mut diagnostic = Diagnostic::error().with_message(printable(&self.message)).with_notes(notes);
        let (name, text) = match &self.place {
            Some((place, text)) => {
                diagnostic = diagnostic.with_label(Label::primary((), span(text, place.line, place.column)));
                (place.file.as_str(), &**text)
            }
            None => ("", ""),
        };
        let mut buffer = if colour { Buffer::ansi() } else { Buffer::no_color() };
        let files = SimpleFile::new(name, text);
        match term::emit_to_write_style(&mut buffer, &term::Config::default(), &files, &diagnostic) {
            Ok(()) => {
                let text = String::from_utf8_lossy(buffer.as_slice()).into_owned();
                text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_string()
            }
            Err(_) => format!("error: {}", self.message),
        }
    }
}

/// The bytes of the word or sign at a place; at the end of a line, of its last character.
fn span(text: &str, line: usize, column: usize) -> Range<usize> {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let this = text[start..].lines().next().unwrap_or("");
    let offset = this.char_indices().nth(column.saturating_sub(1)).map_or(this.len(), |(i, _)| i);
    let rest = &this[offset..];
    let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let length = if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) };
    start + offset..start + offset + length
}

/// The place just behind the last word or sign before `place`: where a forgotten `;` belongs.
pub fn end_before(text: &str, line: usize, column: usize) -> Option<(usize, usize)> {
    Some(code(text).into_iter().take_while(|t| (t.line, t.column) < (line, column)).last()?.last_place())
}

/// Why a script ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Something is wrong in the script or its data.
    Error,
    /// Ctrl-C, or the reader of the output went away.
    Interrupted,
    /// The script called `exit` with this code; there is nothing to report.
    Exit(i32),
}

/// The end of a script that did not reach its end.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What kind of end.
    pub kind: FailureKind,
    /// Everything that is wrong; empty for [`FailureKind::Exit`].
    pub reports: Vec<Report>,
}

impl Failure {
    /// A failure with one message and no place.
    pub fn bare(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Error, reports: vec![Report::bare(message)] }
    }

    /// The same, as if its script did not lie in `folder`.
    pub fn without_folder(mut self, folder: &str) -> Self {
        let below = format!("{folder}/");
        let plain = |text: &str| text.replace(&below, "").replace(folder, "its own folder");
        for report in &mut self.reports {
            report.message = plain(&report.message);
            report.notes.iter_mut().for_each(|note| *note = plain(note));
            if let Some((place, _)) = &mut report.place {
                place.file = plain(&place.file);
            }
        }
        self
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> i32 {
        match self.kind {
            FailureKind::Error => 1,
            FailureKind::Interrupted => interrupt::exit_code().into(),
            FailureKind::Exit(code) => code,
        }
    }

    /// All reports as text for the terminal, with ANSI colours if `colour`.
    pub fn render(&self, colour: bool) -> String {
        if self.kind == FailureKind::Interrupted {
            return self.reports.iter().map(Report::plain).collect::<Vec<_>>().join("\n");
        }
        self.reports.iter().map(|report| report.render(colour)).collect::<Vec<_>>().join("\n\n")
    }
}

impl Report {
    /// Message, place and notes without an excerpt: an interruption is no error.
    fn plain(&self) -> String {
        let mut text = printable(&self.message);
        if let Some((place, _)) = &self.place {
            text += &format!(" at {place}");
        }
        for note in &self.notes {
            text += &format!("\n  {}", printable(note));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_words_and_count_characters() {
        let text = "let ä = relo(x);\nend";
        assert_eq!(&text[span(text, 1, 9)], "relo");
        assert_eq!(&text[span(text, 1, 13)], "(");
        assert_eq!(&text[span(text, 2, 4)], "");
        assert_eq!(&text[span(text, 9, 9)], "");
        for (text, place) in [
            ("let x = 3 // three\nlet", (1, 9)),
            ("let x = \"a b\"\nlet", (1, 13)),
            ("f() /* one\ntwo */\nlet", (1, 3)),
            ("let x = `a\n b` /* ; */\nlet", (2, 3)),
        ] {
            assert_eq!(end_before(text, 1 + text.matches('\n').count(), 1), Some(place), "{text}");
        }
        assert_eq!(end_before("// nothing\nlet", 2, 1), None);
    }
}
