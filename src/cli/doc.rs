//! `workbench doc`: the documentation in the terminal, as HTML, and as definitions for editors.

use crate::base::files;
use crate::base::output;
use crate::repl::terminal;
use crate::script::docs::answer::{Asked, answer};
use crate::script::docs::{self, Docs};
use crate::script::explain::report::Failure;
use std::path::Path;

/// Show what a name means, where words are found, or all there is; or write one of the two folders.
pub fn run(words: &[String], html: Option<&Path>, definitions: Option<&Path>) -> Result<(), Failure> {
    let docs = Docs::new();
    let screen = terminal::screen();
    if let Some(folder) = html {
        return write(folder, &docs::html::files(&docs), "index.html");
    }
    if let Some(folder) = definitions {
        return write(folder, &docs::definitions::files(&docs), "workbench.d.rhai");
    }
    let query = words.join(" ");
    let query = query.trim();
    let text = match docs.find(query, |_| None) {
        _ if query.is_empty() => docs::terminal::overview(&docs, screen),
        Some(found) => docs::terminal::found(&found, &docs, screen),
        None => answer(&docs.index(), query, &docs.hint(query), Asked::CommandLine, screen).map_err(Failure::bare)?,
    };
    output::line(&text);
    Ok(())
}

/// Write the files below `folder`. Others that are there stay.
fn write(folder: &Path, list: &[(String, String)], first: &str) -> Result<(), Failure> {
    for (name, text) in list {
        let path = folder.join(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| files::replace(&path, text.as_bytes()))
            .map_err(|e| Failure::bare(format!("doc: cannot write {}: {e}", path.display())))?;
    }
    output::line(&format!("{} files; begin with {}", list.len(), folder.join(first).display()));
    Ok(())
}
