//! What Tab offers: commands, names for `?`, functions and variables, methods of a value, functions of a module, option
//! names inside `#{`, keys of a map, data sets, modules and files inside a string.

use super::cursor::{Call, Cursor, is_dot};
use crate::base::text::tokens;
use crate::base::text::tokens::Token;
use crate::script::docs::{Docs, Entry, Form, Kind};
use crate::script::language::signatures::Native;
use crate::script::session::Session;
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

/// Where what is typed before `position` begins, and what it may become, in alphabetical order.
pub fn complete(session: &Session, vocabulary: &Vocabulary, line: &str, position: usize) -> (usize, Vec<String>) {
    let head = &line[..position];
    if head.starts_with(':') && !head.contains(char::is_whitespace) {
        let commands = super::commands::COMMANDS.iter().map(|(name, _)| name.to_string());
        return (0, commands.filter(|name| name.starts_with(head)).collect());
    }
    if let Some(path) = head.strip_prefix(":load ").or_else(|| head.strip_prefix(":save ")) {
        return (position - path.len(), files(path, ".rhai"));
    }
    let Some(cursor) = Cursor::behind(head) else { return (position, vec![]) };
    if cursor.in_string {
        return (cursor.start, in_string(session, &cursor));
    }
    let word = cursor.typed;
    let mut names = offered(session, vocabulary, head, &cursor);
    names.retain(|name| name.starts_with(word) && name != word);
    (cursor.start, once(names.into_iter().collect()))
}

/// Names that fit the place of a word.
fn offered(session: &Session, vocabulary: &Vocabulary, head: &str, cursor: &Cursor) -> BTreeSet<String> {
    if let Some(alias) = cursor.module() {
        return of_module(session, alias);
    }
    if let Some(value) = cursor.value() {
        return of_value(session, vocabulary, value);
    }
    if head.starts_with('?') {
        let docs = session.docs();
        let mut names: BTreeSet<String> = docs.pages.iter().map(|page| page.name.clone()).collect();
        names.extend(docs.host_entries().flat_map(Entry::names).map(str::to_string));
        names.extend(vocabulary.types.iter().cloned());
        names.extend(session.modules().into_iter().map(|(alias, _)| format!("{alias}::")));
        return names;
    }
    if let Some(options) = cursor.options_of().and_then(|call| options(session, &call)) {
        return options;
    }
    if cursor.typed.is_empty() {
        return BTreeSet::new();
    }
    let mut names: BTreeSet<String> = vocabulary.functions().collect();
    names.extend(session.functions().into_iter().map(|shown| shown.split('(').next().unwrap_or("").to_string() + "("));
    names.extend(session.variables().into_iter().map(|(name, ..)| name));
    names.extend(session.constants());
    names.extend(session.modules().into_iter().map(|(alias, _)| format!("{alias}::")));
    names.extend(KEYWORDS.map(str::to_string));
    names
}

/// `f()` goes where `f(` is offered too.
fn once(names: Vec<String>) -> Vec<String> {
    let open: Vec<String> = names.iter().filter(|name| name.ends_with('(')).cloned().collect();
    names
        .into_iter()
        .filter(|name| !name.strip_suffix(')').is_some_and(|name| open.iter().any(|o| o == name)))
        .collect()
}

/// What a string may hold, by what stands before it.
fn in_string(session: &Session, cursor: &Cursor) -> Vec<String> {
    let text = cursor.typed;
    let with = |names: Vec<String>| names.into_iter().filter(|name| name.starts_with(text)).collect::<Vec<_>>();
    if let Some(["dataset", "("]) = cursor.last() {
        let mut found = with(Session::data_sets().into_iter().map(str::to_string).collect());
        found.extend(files(text, "").into_iter().filter(|_| text.contains('/')));
        return found;
    }
    if let Some(["import"]) = cursor.last() {
        let mut found = with(session.loader().std_names().into_iter().map(|name| format!("std/{name}")).collect());
        let scripts = files(text, ".rhai").into_iter();
        found.extend(scripts.map(|file| file.trim_end_matches(".rhai").to_string()));
        return found;
    }
    if let Some([name, ".", "param" | "set_param", "("]) = cursor.last() {
        let model = session.variables().into_iter().find(|(known, ..)| known == name).map(|(_, value, _)| value);
        if let Some(model) = model.and_then(|value| value.try_cast::<crate::script::values::Model>()) {
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
fn of_value(session: &Session, vocabulary: &Vocabulary, value: &[Token]) -> BTreeSet<String> {
    let Some((last, before)) = value.split_last() else { return BTreeSet::new() };
    let members = |kind: Option<&str>| vocabulary.members(session.docs(), kind);
    match last.kind {
        tokens::Kind::Text | tokens::Kind::Continued => {
            members(Some(if last.text.starts_with('\'') { "char" } else { "string" }))
        }
        tokens::Kind::Sign if last.text.ends_with([')', ']']) => members(None),
        tokens::Kind::Word => {
            let alone = !before.last().is_some_and(|token| is_dot(token) || token.text == "::");
            let known = |(name, ..): &(String, rhai::Dynamic, bool)| name == last.text;
            if last.text == "run" && alone {
                return members(Some("Run"));
            }
            let Some((_, value, _)) = session.variables().into_iter().find(known).filter(|_| alone) else {
                return members(None);
            };
            let mut found = members(Some(&session.kind(&value)));
            if let Ok(map) = value.as_map_ref() {
                found.extend(map.keys().map(|key| key.to_string()));
            }
            found
        }
        // After a number or an operator there is nothing to offer.
        _ => BTreeSet::new(),
    }
}

/// Option names of the function that is called.
fn options(session: &Session, call: &Call) -> Option<BTreeSet<String>> {
    let of_name = entries(session, call.alias)?.into_iter().filter(|entry| entry.names().contains(&call.name));
    Some(of_name.flat_map(|entry| &entry.options).map(|option| format!("{}: ", option.name)).collect())
}

/// What is described of the module under `alias`, or without one of the host. None where the module has no page.
fn entries<'s>(session: &'s Session, alias: &str) -> Option<Vec<&'s Entry>> {
    let docs = session.docs();
    match session.modules().into_iter().find(|(known, _)| known == alias) {
        Some((_, file)) => Some(docs.page(&file)?.entries.iter().collect()),
        None => alias.is_empty().then(|| docs.host_entries().collect()),
    }
}

/// The signature to show behind `name(`.
pub fn signature(session: &Session, head: &str) -> Option<String> {
    let call = Call::opened(head)?;
    let forms = entries(session, call.alias)?.into_iter().flat_map(|entry| &entry.forms);
    let fitting = forms.filter(|form| form.name == call.name && call.method != form.owner().is_empty());
    let form = fitting.max_by_key(|form| form.parameters.len())?;
    let skipped = usize::from(call.method);
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
            recording: crate::script::session::Recording::default(),
            source: Default::default(),
            allowed: Default::default(),
            ranks: Default::default(),
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
            ("f('\"', theta_", "theta_max"),
            ("f(#\"a \" b\"#, theta_", "theta_max"),
            ("`eps ${theta_", "theta_max"),
            ("`a ${ `b ${own_", "own_one("),
            ("f(`\"`, own_", "own_one("),
            ("dataset(`ci", "cifar10"),
            ("dataset( /* which */ #\"ci", "cifar10"),
            ("conv2d(3, '}', #{ str", "stride: "),
            ("conv2d(3, \"#{\", #{ str", "stride: "),
            ("\"abc\".spl", "split("),
            ("`${1}`.spl", "split("),
            ("cfg?.ep", "epochs"),
            ("f(\n  // don't\n  own_", "own_one("),
        ] {
            let (start, names) = offered(line);
            assert!(names.iter().any(|name| name == wanted), "{line}: {names:?}");
            assert!(wanted.starts_with(&line[start..]), "{line}: {start}");
        }
        for line in [
            "",
            "1.",
            "nothing::x",
            "cfg.zz",
            "// own_",
            "/* /* */ own_",
            "`${1} own_",
            "1own_",
            "\"a\\\"; own_",
            "#\"own_",
        ] {
            assert!(offered(line).1.is_empty(), "{line}: {:?}", offered(line));
        }
    }

    #[test]
    fn signatures_are_shown_behind_a_bracket() {
        let session = session();
        assert_eq!(signature(&session, "let x = conv2d(").as_deref(), Some("channels, kernel, options)"));
        assert_eq!(signature(&session, "net.set_param(").as_deref(), Some("name, value)"));
        assert_eq!(signature(&session, "lip::box(").as_deref(), Some("model, x, eps)"));
        assert_eq!(signature(&session, "`${lip::box(").as_deref(), Some("model, x, eps)"));
        for head in ["(", "\"conv2d(", "// conv2d(", "`conv2d(", "lip::conv2d(", "no::box("] {
            assert_eq!(signature(&session, head), None, "{head}");
        }
    }
}
