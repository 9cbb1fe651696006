//! What Tab offers: commands, names for `?`, functions and variables, methods of a value, functions of a module, option
//! names inside `#{`, keys of a map, data sets, modules and files inside a string.

use crate::script::docs::{Docs, Entry, Form, Kind};
use crate::script::session::Session;
use crate::script::signatures::Native;
use std::collections::BTreeSet;
use std::path::Path;

const KEYWORDS: [&str; 18] = [
    "let", "const", "fn", "if", "else", "for", "in", "while", "loop", "break", "continue", "return", "switch",
    "import", "throw", "try", "true", "false",
];

/// Names that do not change while the prompt runs.
pub struct Vocabulary {
    natives: Vec<Native>,
    types: Vec<String>,
}

impl Vocabulary {
    pub fn new(session: &Session) -> Self {
        Self { natives: session.natives(), types: session.type_names() }
    }

    /// Methods and properties of values of type `kind`; without one, those of all of the host's types.
    fn members(&self, docs: &Docs, kind: Option<&str>) -> BTreeSet<String> {
        let shown = |form: &Form| match form.kind {
            Kind::Property => form.name.clone(),
            _ => format!("{}({}", form.name, if form.parameters.len() == 1 { ")" } else { "" }),
        };
        let forms = docs.host_entries().flat_map(|entry| &entry.forms);
        let fits = |form: &&Form| kind.map_or(!form.owner().is_empty(), |kind| form.owner() == kind);
        let mut found: BTreeSet<String> = forms.filter(fits).map(shown).collect();
        if let Some(kind) = kind.filter(|kind| !self.types.iter().any(|known| known == kind)) {
            // Rhai's own types: arrays, maps, strings, numbers.
            let own = self.natives.iter().filter(|n| n.first == kind && is_name(&n.name) && !n.name.contains('$'));
            found.extend(own.map(|n| format!("{}({}", n.name, if n.arity == 1 { ")" } else { "" })));
        }
        found
    }

    fn functions(&self) -> impl Iterator<Item = String> {
        let own = self.natives.iter().filter(|n| is_name(&n.name) && !n.name.contains('$') && n.namespace.is_empty());
        own.map(|n| format!("{}({}", n.name, if n.arity == 0 { ")" } else { "" }))
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic()) && !name.starts_with("index$") && !name.starts_with("set$")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the word before `position` begins, and what it may become, in alphabetical order.
pub fn complete(session: &Session, vocabulary: &Vocabulary, line: &str, position: usize) -> (usize, Vec<String>) {
    let head = &line[..position];
    let start = head.rfind(|c| !is_word(c)).map_or(0, |i| i + head[i..].chars().next().map_or(1, char::len_utf8));
    let (before, word) = head.split_at(start);
    let matching = |names: BTreeSet<String>| {
        let found: Vec<String> = names.into_iter().filter(|name| name.starts_with(word) && name != word).collect();
        (start, once(found))
    };
    if head.starts_with(':') && !head.contains(char::is_whitespace) {
        let commands = super::commands::COMMANDS.iter().map(|(name, _)| name.to_string());
        return (0, commands.filter(|name| name.starts_with(head)).collect());
    }
    if let Some(path) = head.strip_prefix(":load ").or_else(|| head.strip_prefix(":save ")) {
        return (position - path.len(), files(path, ".rhai"));
    }
    if let Some(quote) = open_quote(head) {
        return (quote + 1, in_string(session, &head[..quote], &head[quote + 1..]));
    }
    if let Some(alias) = before.strip_suffix("::") {
        return matching(of_module(session, alias.rsplit(|c| !is_word(c)).next().unwrap_or("")));
    }
    if let Some(value) = before.strip_suffix('.').filter(|value| !value.ends_with(['.'])) {
        return matching(of_value(session, vocabulary, value));
    }
    if head.starts_with('?') {
        let docs = session.docs();
        let mut names: BTreeSet<String> = docs.pages.iter().map(|page| page.name.clone()).collect();
        names.extend(docs.host_entries().flat_map(Entry::names).map(str::to_string));
        names.extend(vocabulary.types.iter().cloned());
        names.extend(session.modules().into_iter().map(|(alias, _)| format!("{alias}::")));
        return matching(names);
    }
    if let Some(options) = options(session, before) {
        return matching(options);
    }
    if word.is_empty() {
        return (start, vec![]);
    }
    let mut names: BTreeSet<String> = vocabulary.functions().collect();
    names.extend(session.functions().into_iter().map(|shown| shown.split('(').next().unwrap_or("").to_string() + "("));
    names.extend(session.variables().into_iter().map(|(name, ..)| name));
    names.extend(session.constants());
    names.extend(session.modules().into_iter().map(|(alias, _)| format!("{alias}::")));
    names.extend(KEYWORDS.map(str::to_string));
    matching(names)
}

/// `f()` goes where `f(` is offered too.
fn once(names: Vec<String>) -> Vec<String> {
    let open: Vec<String> = names.iter().filter(|name| name.ends_with('(')).cloned().collect();
    names
        .into_iter()
        .filter(|name| !name.strip_suffix(')').is_some_and(|name| open.iter().any(|o| o == name)))
        .collect()
}

/// The place of the quote of a string that is not closed.
fn open_quote(head: &str) -> Option<usize> {
    let (mut open, mut escaped) = (None, false);
    for (i, c) in head.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if open.is_some() => escaped = true,
            '"' => open = if open.is_some() { None } else { Some(i) },
            _ => {}
        }
    }
    open
}

/// What a string may hold, by what stands before it.
fn in_string(session: &Session, before: &str, text: &str) -> Vec<String> {
    let before = before.trim_end();
    let with = |names: Vec<String>| names.into_iter().filter(|name| name.starts_with(text)).collect::<Vec<_>>();
    if before.ends_with("dataset(") {
        let mut found = with(Session::data_sets().into_iter().map(str::to_string).collect());
        found.extend(files(text, "").into_iter().filter(|_| text.contains('/')));
        return found;
    }
    if before.ends_with("import") {
        let mut found = with(session.loader().std_names().into_iter().map(|name| format!("std/{name}")).collect());
        let scripts = files(text, ".rhai").into_iter();
        found.extend(scripts.map(|file| file.trim_end_matches(".rhai").to_string()));
        return found;
    }
    if let Some(call) =
        before.strip_suffix("param(").and_then(|b| b.strip_suffix('.').or_else(|| b.strip_suffix(".set_")))
    {
        let name = call.rsplit(|c| !is_word(c)).next().unwrap_or("");
        let model = session.variables().into_iter().find(|(known, ..)| known == name).map(|(_, value, _)| value);
        if let Some(model) = model.and_then(|value| value.try_cast::<crate::script::bind::Model>()) {
            return with(model.0.parameters().iter().map(|(name, _)| name.clone()).collect());
        }
    }
    files(text, "")
}

/// Files and folders whose path begins with `text`; of files those with this ending.
fn files(text: &str, ending: &str) -> Vec<String> {
    let (folder, name) = text.rsplit_once('/').map_or(("", text), |(folder, name)| (folder, name));
    let shown = |name: &str| if text.contains('/') { format!("{folder}/{name}") } else { name.to_string() };
    let place = if text.starts_with('/') && folder.is_empty() {
        "/"
    } else if folder.is_empty() {
        "."
    } else {
        folder
    };
    let Ok(entries) = Path::new(place).read_dir() else { return vec![] };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let is_folder = entry.path().is_dir();
            let fits = file.starts_with(name) && (is_folder || file.ends_with(ending));
            let hidden = file.starts_with('.') && !name.starts_with('.');
            (fits && !hidden).then(|| if is_folder { shown(&file) + "/" } else { shown(&file) })
        })
        .collect();
    found.sort();
    found
}

/// Functions of the module under an alias.
fn of_module(session: &Session, alias: &str) -> BTreeSet<String> {
    let Some((_, file)) = session.modules().into_iter().find(|(known, _)| known == alias) else {
        return BTreeSet::new();
    };
    let own = session.own_pages(alias);
    let page = session.docs().page(&file).or(own.first());
    let call = |form: &Form| format!("{}({}", form.name, if form.parameters.is_empty() { ")" } else { "" });
    page.map(|page| page.entries.iter().flat_map(|entry| &entry.forms).map(call).collect()).unwrap_or_default()
}

/// Members of what stands before the dot: a variable's type is known, of anything else it may be any.
fn of_value(session: &Session, vocabulary: &Vocabulary, before: &str) -> BTreeSet<String> {
    let name = before.rsplit(|c| !is_word(c)).next().unwrap_or("");
    let alone = !before[..before.len() - name.len()].ends_with('.');
    if name == "run" && alone {
        return vocabulary.members(session.docs(), Some("Run"));
    }
    let found = session.variables().into_iter().find(|(known, ..)| known == name && alone);
    let Some((_, value, _)) = found else {
        // After a number or an operator there is nothing to offer.
        let value = !name.starts_with(|c: char| c.is_ascii_digit()) && before.ends_with([')', ']']) || is_name(name);
        return if value { vocabulary.members(session.docs(), None) } else { BTreeSet::new() };
    };
    let mut members = vocabulary.members(session.docs(), Some(&session.kind(&value)));
    if let Ok(map) = value.as_map_ref() {
        members.extend(map.keys().map(|key| key.to_string()));
    }
    members
}

/// Option names, where `before` ends inside the `#{` of a call, at the place of a key.
fn options(session: &Session, before: &str) -> Option<BTreeSet<String>> {
    let open = innermost(before, '{', '}').filter(|at| before[..*at].ends_with('#'))?;
    let inside = &before[open + 1..];
    if !inside.trim_end().is_empty() && !inside.trim_end().ends_with(',') {
        return None;
    }
    let outside = before[..open].trim_end_matches('#');
    let call = innermost(outside, '(', ')')?;
    let path = outside[..call].rsplit(|c: char| !is_word(c) && c != ':').next()?;
    let (alias, name) = path.rsplit_once("::").unwrap_or(("", path));
    let docs = session.docs();
    let file = session.modules().into_iter().find(|(known, _)| known == alias).map(|(_, file)| file);
    let entries: Vec<&Entry> = match file {
        Some(file) => docs.page(&file)?.entries.iter().collect(),
        None => docs.host_entries().collect(),
    };
    let of_name = entries.into_iter().filter(|entry| entry.names().contains(&name));
    Some(of_name.flat_map(|entry| &entry.options).map(|option| format!("{}: ", option.name)).collect())
}

/// The place of the last bracket that is not closed.
fn innermost(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().rev().find_map(|(i, c)| {
        if c == close {
            depth += 1;
        } else if c == open {
            if depth == 0 {
                return Some(i);
            }
            depth -= 1;
        }
        None
    })
}

/// The signature to show behind `name(`.
pub fn signature(session: &Session, head: &str) -> Option<String> {
    let call = head.strip_suffix('(')?;
    let path = call.rsplit(|c: char| !is_word(c) && c != ':').next()?;
    let (alias, name) = path.rsplit_once("::").unwrap_or(("", path));
    let method = call[..call.len() - path.len()].ends_with('.');
    let docs = session.docs();
    let file = session.modules().into_iter().find(|(known, _)| known == alias).map(|(_, file)| file);
    let entries: Vec<&Entry> = match file {
        Some(file) => docs.page(&file)?.entries.iter().collect(),
        None if alias.is_empty() => docs.host_entries().collect(),
        None => return None,
    };
    let forms = entries.into_iter().flat_map(|entry| &entry.forms).filter(|form| form.name == name);
    let form = forms.filter(|form| method != form.owner().is_empty()).max_by_key(|form| form.parameters.len())?;
    let skipped = usize::from(method);
    let names: Vec<&str> = form.parameters.iter().skip(skipped).map(|(name, _)| name.as_str()).collect();
    Some(format!("{})", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::session::Config;
    use crate::script::settings::Overrides;

    fn session() -> Session {
        let mut session = Session::new(Config {
            device: candle_core::Device::Cpu,
            seed: 0,
            threads: 1,
            data_dir: None,
            overrides: Overrides::default(),
            script: None,
            recording: crate::script::recording::Recording::default(),
            source: Default::default(),
            allowed: Default::default(),
            limits: Default::default(),
        });
        session
            .eval(
                "import \"std/local_lip\" as lip; let theta_max = 1.0; let cfg = settings(#{ epochs: 3 });\n\
                 let net = sequential([4], [linear(2)]); fn own_one(a) { a }",
            )
            .unwrap();
        session
    }

    #[test]
    fn every_place_offers_what_fits_it() {
        let session = session();
        let vocabulary = Vocabulary::new(&session);
        let offered = |line: &str| complete(&session, &vocabulary, line, line.len());
        for (line, wanted) in [
            ("conv2", "conv2d("),
            ("let x = theta_", "theta_max"),
            ("own_", "own_one("),
            ("li", "lip::"),
            ("lip::bou", "bounds("),
            ("net.para", "parameters"),
            ("net.forw", "forward("),
            ("cfg.ep", "epochs"),
            ("net.forward(x).arg", "argmax("),
            ("conv2d(3, 3, #{ str", "stride: "),
            ("conv2d(3, 3, #{ stride: 2, pad", "padding: "),
            ("lip::bounds(net, x, 0.1, v, 3, #{ c", "cut: "),
            ("dataset(\"ci", "cifar10"),
            ("import \"std/pr", "std/probe"),
            ("net.param(\"0.w", "0.weight"),
            (":rel", ":reload"),
            ("?spectral", "spectral_norm"),
            ("load_model(\"Car", "Cargo.toml"),
            ("run.ep", "epochs("),
            ("relu", "relu_theta("),
        ] {
            let (start, names) = offered(line);
            assert!(names.iter().any(|name| name == wanted), "{line}: {names:?}");
            assert!(wanted.starts_with(&line[start..]), "{line}: {start}");
        }
        for line in ["", "1.", "nothing::x", "cfg.zz"] {
            assert!(offered(line).1.is_empty(), "{line}: {:?}", offered(line));
        }
    }

    #[test]
    fn signatures_are_shown_behind_a_bracket() {
        let session = session();
        assert_eq!(signature(&session, "let x = conv2d(").as_deref(), Some("channels, kernel, options)"));
        assert_eq!(signature(&session, "net.set_param(").as_deref(), Some("name, value)"));
        assert_eq!(signature(&session, "lip::box(").as_deref(), Some("model, x, eps)"));
        assert_eq!(signature(&session, "(").as_deref(), None);
    }
}
