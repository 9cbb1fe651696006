//! `?name`, `??name` and `help`: the documentation at the prompt.

use crate::base::suggest;
use crate::script::docs::answer::{Asked, answer};
use crate::script::docs::{Entry, Found, terminal};
use crate::script::session::Session;

const HELP: &str = "\
Type Rhai: a value is shown, variables, functions and imports stay.
  let t = tensor([1.0, 2.0]);     a `;` at the end hides the value
  fn double(x) { 2 * x }          a function; type it again to change it
  import \"std/probe\" as probe;    a module
  _                               the last value, also as last_value
  ?conv2d  ?lip::bounds  ?Tensor  what a name means; ??lip::bounds its source
  ?weight decay                   where the documentation speaks of it
  help                            this, and what there is
  demo                            a walk through one image of a trained network
An open bracket continues on the next line; an empty line ends the input anyway. Tab completes names,
options, settings, data sets, modules and files. Ctrl-C drops the input or stops what runs, and everything
keeps its value; Ctrl-D leaves.

  :vars            variables, functions, modules     :load FILE    run a script here
  :type EXPR       the type of a value               :reload       read changed files again, keep values
  :time EXPR       how long it takes                 :save FILE    what was typed, as a script
  :device          where tensors live                :quit         leave";

/// What `help` says.
pub fn help(session: &Session) -> String {
    let screen = session.screen();
    let text: Vec<String> = HELP.lines().flat_map(|line| fitted(line, screen.width)).collect();
    format!("{}\n\n{}", text.join("\n"), terminal::overview(session.docs(), screen))
}

/// A line of the help where it fits, its halves below each other where it does not.
fn fitted(line: &str, width: usize) -> Vec<String> {
    if line.chars().count() <= width {
        return vec![line.to_string()];
    }
    if let Some(at) = line.find("     :") {
        return vec![line[..at].trim_end().to_string(), format!("  {}", line[at..].trim_start())];
    }
    let indent = if line.starts_with(' ') { 2 } else { 0 };
    crate::show::Screen { width, colours: false }.wrap(line, indent)
}

/// What `?name` says, or `??name`; where it is no name, where its words are found, or an error.
pub fn about(session: &Session, query: &str) -> Result<String, String> {
    let with_source = query.starts_with('?');
    let name = query.trim_start_matches('?').trim().trim_end_matches(';').trim_end_matches("()").trim();
    if name.is_empty() {
        return Ok(help(session));
    }
    let (screen, docs) = (session.screen(), session.docs());
    let modules = session.modules();
    let path = |alias: &str| modules.iter().find(|(known, _)| known == alias).map(|(_, file)| file.clone());
    if let Some(text) = own(session, name, with_source) {
        return Ok(text);
    }
    if let Some((_, value, constant)) = session.variables().into_iter().find(|(known, ..)| known == name) {
        let what = if constant { "constant" } else { "variable" };
        return Ok(format!("{name}: {what}, {}, {}", session.kind(&value), session.brief(&value, screen.width)));
    }
    if let Some(found) = docs.find(name, path) {
        let mut text = terminal::found(&found, docs, screen);
        if let Found::Entries(entries) = &found
            && with_source
        {
            for entry in entries {
                let source = session.std_source(&entry.page);
                text += &format!("\n\n{}", source.map_or("written in Rust".into(), |s| code(entry, s)));
            }
        }
        return Ok(text);
    }
    let rhai: Vec<String> = session.natives().into_iter().filter(|n| n.name == name).map(|n| n.shown).collect();
    if !rhai.is_empty() {
        return Ok(format!("{}\n\nbuilt into Rhai; see https://rhai.rs/book", rhai.join("\n")));
    }
    let variables = session.variables();
    let hint = suggest::nearest(name, variables.iter().map(|(name, ..)| name.as_str()));
    let hint = hint.map_or_else(|| docs.hint(name), |near| format!("; did you mean `{near}`?"));
    answer(&docs.index(), name, &hint, Asked::Prompt, screen)
}

/// A function typed here, or of a module of the user's.
fn own(session: &Session, name: &str, with_source: bool) -> Option<String> {
    let (alias, bare) = name.rsplit_once("::").unwrap_or(("", name));
    let pages = session.own_pages(alias);
    let found = pages.iter().find_map(|page| Some((page, page.entries.iter().find(|e| e.names() == [bare])?)));
    let (page, entry) = found?;
    // What was typed has its source shown anyway.
    let text = terminal::entry(entry, session.docs(), session.screen());
    let source = session.source(&page.name).unwrap_or_default();
    let undescribed = entry.about.is_empty();
    Some(if with_source || undescribed { format!("{}\n\n{}", text.trim_end(), code(entry, &source)) } else { text })
}

/// The code of an entry's functions.
fn code(entry: &Entry, source: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let part = |range: &std::ops::Range<usize>| {
        lines.get(range.start - 1..(range.end - 1).min(lines.len())).unwrap_or_default().join("\n")
    };
    entry.code.iter().map(part).collect::<Vec<_>>().join("\n\n")
}
