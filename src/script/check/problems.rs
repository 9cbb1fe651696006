//! The check before a run: are the names right? It parses a script and all it imports, runs nothing, and reports every
//! call of a function that does not exist, every option that its function does not have, every import that leads nowhere
//! and every key that `settings` does not have, so that a slip of the hand on the last line is found before the first hour
//! of training. [`unused_settings`] also tells which settings nothing reads.
//!
//! It says nothing when it cannot know: types and calls through variables are left to the run.

use super::catches;
use super::copies;
use super::outline::{Call, Outline};
use crate::base::suggest;
use crate::script::docs::Docs;
use crate::script::explain::explain;
use crate::script::explain::report::{FailureKind, Place, Report};
use crate::script::explain::wording::{known_forms, signatures};
use crate::script::language::habits;
use crate::script::language::loader::Loader;
use crate::script::language::origin::is_std;
use crate::script::language::purity::Purity;
use crate::script::language::signatures::{Native, natives};
use rhai::{AST, Engine, FnAccess, Position};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What Rhai itself provides without registering it.
const KEYWORDS: &[&str] =
    &["print", "debug", "type_of", "Fn", "call", "curry", "is_shared", "is_def_var", "is_def_fn", "this", "eval"];

/// Everything wrong that can be seen without running the script `main` (as [`Loader::open_script`] named it).
pub fn problems(engine: &Engine, loader: &Loader, docs: &Docs, main: &str) -> Vec<Report> {
    let mut check = Check { engine, loader, files: BTreeMap::new(), found: vec![] };
    check.visit(main, &mut vec![]);
    check.names(docs);
    check.found.sort_by_key(|report| report.place.as_ref().map(|(place, _)| (place.file != main, place.clone())));
    check.found
}

/// Settings of the script `main` that no file reads, neither as `cfg.key` nor by name: changing them would change nothing.
pub fn unused_settings(engine: &Engine, loader: &Loader, main: &str) -> Vec<Report> {
    let mut check = Check { engine, loader, files: BTreeMap::new(), found: vec![] };
    check.visit(main, &mut vec![]);
    check.found.clear();
    let files = std::mem::take(&mut check.files);
    let Some((_, outline)) = files.get(main) else { return vec![] };
    for (key, at) in &outline.setting_places {
        if !files.values().any(|(_, outline)| outline.words.contains(key)) {
            let message =
                format!("the setting `{key}` is never read: `--set {key}=...` would change nothing; remove it");
            check.report(main, *at, message, vec![]);
        }
    }
    check.found
}

struct Check<'a> {
    engine: &'a Engine,
    loader: &'a Loader,
    files: BTreeMap<String, (Rc<AST>, Outline)>,
    found: Vec<Report>,
}

impl Check<'_> {
    /// Parse `file` and what it imports. `chain` holds the files on the way to it.
    fn visit(&mut self, file: &str, chain: &mut Vec<String>) {
        if self.files.contains_key(file) {
            return;
        }
        let ast = match self.loader.compile(self.engine, file) {
            Ok(ast) => ast,
            Err(error) => {
                let failure = explain(&error, file, self.engine, self.loader);
                if failure.kind == FailureKind::Error {
                    self.found.extend(failure.reports);
                }
                return;
            }
        };
        for clash in self.loader.admit(self.engine, &ast, file).err().unwrap_or_default() {
            self.place(file, clash.line, clash.column, clash.message, vec![]);
        }
        let mut outline = Outline::of(&ast);
        chain.push(file.to_string());
        for (alias, path, at) in outline.imports.clone() {
            let Some(path) = path else { continue };
            match self.loader.locate(Some(file), &path) {
                Err(message) => self.report(file, at, message, vec![]),
                Ok(next) => {
                    outline.aliases.insert(alias, next.clone());
                    if let Some(start) = chain.iter().position(|station| *station == next) {
                        let stations = chain[start..].join(" -> ");
                        let message =
                            format!("import cycle: {stations} -> {next}; move what both need into a third file");
                        self.report(file, at, message, vec![]);
                    } else {
                        self.visit(&next, chain);
                    }
                }
            }
        }
        chain.pop();
        self.files.insert(file.to_string(), (ast, outline));
    }

    fn report(&mut self, file: &str, at: Position, message: String, notes: Vec<String>) {
        self.place(file, at.line().unwrap_or(1), at.position().unwrap_or(1), message, notes);
    }

    fn place(&mut self, file: &str, line: usize, column: usize, message: String, notes: Vec<String>) {
        let text = self.loader.text(file).unwrap_or_default();
        let place = Place { file: file.to_string(), line, column };
        self.found.push(Report { message, place: Some((place, text)), notes });
    }

    fn names(&mut self, docs: &Docs) {
        let natives = natives(self.engine);
        let keys: BTreeSet<String> = self.files.values().flat_map(|(_, o)| o.keys.iter().cloned()).collect();
        let files = std::mem::take(&mut self.files);
        let functions = files.values().flat_map(|(ast, _)| ast.iter_functions().map(|f| f.name.to_string())).collect();
        let purity = Purity::new(self.engine, functions);
        for (file, (ast, outline)) in files.iter().filter(|(file, _)| !is_std(file)) {
            for call in &outline.calls {
                let problem = match (&call.module[..], call.method) {
                    ([], false) => plain(call, ast, outline, &natives),
                    ([], true) if keys.contains(&call.name) => None,
                    ([], true) => method(call, ast, &natives),
                    ([alias], _) => {
                        let target = outline.aliases.get(alias).and_then(|key| files.get(key));
                        target.and_then(|(ast, _)| qualified(alias, call, ast))
                    }
                    // Modules within modules are left to the run.
                    _ => None,
                };
                if let Some((message, notes)) = problem {
                    self.report(file, call.at, message, notes);
                    continue;
                }
                for (message, at) in wrong_options(call, outline, docs) {
                    self.report(file, at, message, vec![]);
                }
            }
            for at in catches::lost(ast) {
                self.report(file, at, catches::MESSAGE.into(), vec![]);
            }
            let text = self.loader.text(file).unwrap_or_default();
            for lost in copies::lost(ast, &purity, &text) {
                self.report(file, lost.at, lost.message(), vec![]);
            }
            for (variable, key, at) in &outline.unknown_settings {
                let known = outline.settings.get(variable);
                let known = || known.iter().flat_map(|keys| keys.iter().map(String::as_str));
                let rest = suggest::hint_and_list(key, "settings", known);
                let message = format!("`{variable}` has no setting `{key}`{rest}");
                self.report(file, *at, message, vec![]);
            }
        }
    }
}

/// Options in a map literal that the function called does not have, with their places.
fn wrong_options(call: &Call, outline: &Outline, docs: &Docs) -> Vec<(String, Position)> {
    if call.options.is_empty() {
        return vec![];
    }
    let known = match &call.module[..] {
        [] => docs.options(None, &call.name, call.arity, call.method),
        [alias] => match outline.aliases.get(alias) {
            Some(file) => docs.options(Some(file), &call.name, call.arity, false),
            None => return vec![],
        },
        _ => return vec![],
    };
    let Some(known) = known else { return vec![] };
    let names = || known.iter().map(|option| option.name.as_str());
    let path = call.module.iter().chain([&call.name]).map(String::as_str).collect::<Vec<_>>().join("::");
    let wrong = call.options.iter().filter(|(key, _)| !names().any(|name| name == key));
    let message =
        |key: &str| format!("{path}: unknown option `{key}`{}", suggest::hint_and_list(key, "options", names));
    wrong.map(|(key, at)| (message(key), *at)).collect()
}

type Problem = Option<(String, Vec<String>)>;

fn plain(call: &Call, ast: &AST, outline: &Outline, natives: &[Native]) -> Problem {
    let global = || natives.iter().filter(|n| n.namespace.is_empty());
    let own: Vec<_> = ast.iter_functions().filter(|f| f.this_type.is_none()).collect();
    let known = KEYWORDS.contains(&call.name.as_str())
        || global().any(|n| n.name == call.name && n.arity == call.arity)
        || own.iter().any(|f| f.name == call.name && f.params.len() == call.arity);
    if known {
        return None;
    }
    let mut forms: Vec<String> = global().filter(|n| n.name == call.name).map(|n| n.shown.clone()).collect();
    forms.extend(signatures(ast).into_iter().filter(|(name, _)| *name == call.name).map(|(_, shown)| shown));
    if let Some(instead) = habits::instead(&call.name, call.arity) {
        return Some((format!("{}; {instead}", arity_message(&call.name, call.arity)), vec![]));
    }
    if !forms.is_empty() {
        return Some((arity_message(&call.name, call.arity), vec![known_forms(&forms)]));
    }
    // A parameter too, of a function or a closure.
    let parameter = || ast.iter_functions().any(|f| f.params.contains(&call.name.as_str()));
    if outline.variables.contains(&call.name) || parameter() {
        return Some((habits::called_variable(&call.name), vec![]));
    }
    if let Some(instead) = habits::elsewhere(&call.name) {
        return Some((format!("function not found: {}; {instead}", call.name), vec![]));
    }
    let names = global().map(|n| n.name.as_str()).chain(own.iter().map(|f| f.name));
    Some((format!("function not found: {}{}", call.name, suggest::hint(&call.name, names)), vec![]))
}

fn method(call: &Call, ast: &AST, natives: &[Native]) -> Problem {
    let names = || natives.iter().map(|n| n.name.as_str()).chain(ast.iter_functions().map(|f| f.name));
    if KEYWORDS.contains(&call.name.as_str()) || names().any(|name| name == call.name) {
        return None;
    }
    if let Some(instead) = habits::elsewhere(&call.name) {
        return Some((format!("no value has a method `{}`; {instead}", call.name), vec![]));
    }
    if natives.iter().any(|n| n.name.strip_prefix("get$") == Some(&call.name)) {
        return Some((format!("`{}` is a property: write it without brackets", call.name), vec![]));
    }
    Some((format!("no value has a method `{}`{}", call.name, suggest::hint(&call.name, names())), vec![]))
}

fn qualified(alias: &str, call: &Call, ast: &AST) -> Problem {
    let public: Vec<_> = ast.iter_functions().filter(|f| f.access == FnAccess::Public).collect();
    if public.iter().any(|f| f.name == call.name && f.params.len() == call.arity) {
        return None;
    }
    let path = format!("{alias}::{}", call.name);
    let forms: Vec<String> =
        signatures(ast).into_iter().filter(|(name, _)| *name == call.name).map(|(_, shown)| shown).collect();
    if !forms.is_empty() && public.iter().any(|f| f.name == call.name) {
        return Some((arity_message(&path, call.arity), vec![known_forms(&forms)]));
    }
    if !forms.is_empty() {
        return Some((format!("function `{path}` is private to its module"), vec![]));
    }
    let hint = suggest::hint(&call.name, public.iter().map(|f| f.name));
    Some((format!("module `{alias}` has no function `{}`{hint}", call.name), vec![]))
}

fn arity_message(name: &str, arity: usize) -> String {
    let arguments = if arity == 1 { "1 argument".to_string() } else { format!("{arity} arguments") };
    format!("no `{name}` takes {arguments}")
}

#[cfg(test)]
mod tests;
