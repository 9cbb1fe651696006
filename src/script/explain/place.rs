//! What stands in a script where something went wrong, and how a module is imported there.

use crate::base::embedded::STDLIB;
use crate::script::language::loader::Loader;
use rhai::Position;

/// Is it a module of std, named without `std/`?
pub fn is_module_of_std(name: &str) -> bool {
    STDLIB.iter().any(|(module, _)| *module == name)
}

/// How a module of std is imported; what `text` lacks where it imports it without a name.
pub fn import_of(name: &str, text: &str) -> String {
    let path = if is_module_of_std(name) { format!("std/{name}") } else { "...".into() };
    let nameless = |line: &str| line.trim_start().starts_with(&format!("import \"{path}\"")) && !line.contains(" as ");
    match text.lines().position(nameless) {
        Some(line) => format!("line {} imports it without a name: `import \"{path}\" as {name};`", line + 1),
        None => format!("add `import \"{path}\" as {name};` at the top, then call `{name}::function(...)`"),
    }
}

/// A place in a text.
pub struct Place<'a> {
    /// What stands before it in its line.
    before: &'a str,
    /// What stands there, to the end of the line.
    pub rest: &'a str,
}

impl<'a> Place<'a> {
    pub fn of(text: &'a str, at: Position) -> Option<Self> {
        let line = text.lines().nth(at.line()?.checked_sub(1)?)?;
        let start = line.char_indices().nth(at.position()?.checked_sub(1)?)?.0;
        Some(Self { before: &line[..start], rest: &line[start..] })
    }

    /// Is it an argument of a call?
    pub fn is_argument(&self) -> bool {
        self.before.trim_end().ends_with(['(', ','])
    }

    /// What follows the word there.
    pub fn rest_after(&self, word: &str) -> Option<&'a str> {
        self.rest.strip_prefix(word).map(str::trim_start)
    }

    /// The word that stands there.
    pub fn word(&self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        &self.rest[..end]
    }
}

/// The word at a place.
pub fn word_at(at: Position, file: &str, loader: &Loader) -> Option<String> {
    let text = loader.text(file)?;
    Some(Place::of(&text, at)?.word().to_string())
}
