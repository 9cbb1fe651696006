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
    let names = global().map(|n| n.name.as_str()).chain(own.iter().map(|f| f.name));
    Some((format!("function not found: {}{}", call.name, suggest::hint(&call.name, names)), vec![]))
}

fn method(call: &Call, ast: &AST, natives: &[Native]) -> Problem {
    let names = || natives.iter().map(|n| n.name.as_str()).chain(ast.iter_functions().map(|f| f.name));
    if KEYWORDS.contains(&call.name.as_str()) || names().any(|name| name == call.name) {
        return None;
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
mod tests {
    use super::*;
    use crate::script::language::engine;

    fn check(files: &[(&str, &str)]) -> String {
        const STD: &[(&str, &str)] = &[
            ("local_lip", "fn ramp(epoch, cfg) { epoch } private fn inner() { 1 }"),
            ("evaluate", "fn report(a, b, c, options) { a }"),
        ];
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let loader = Loader::new(STD);
        let main = loader.open_script(&folder.path().join(files[0].0)).unwrap();
        let register = |engine: &mut Engine| {
            engine.register_fn("settings", |map: rhai::Map| map);
            engine.register_fn("conv2d", |_out: i64, _kernel: i64| ());
            engine.register_fn("conv2d", |_out: i64, _kernel: i64, _options: rhai::Map| ());
            engine.register_fn("batches", |_size: i64, _options: rhai::Map| ());
        };
        let engine =
            engine::build(register, loader.clone(), Rc::new(|_: &str| {}), || Ok(()), |_, _| {}, &Default::default());
        let mut reports = unused_settings(&engine, &loader, &main);
        reports.extend(problems(&engine, &loader, &Docs::new(), &main));
        let text: Vec<String> = reports.iter().map(|report| report.render(false)).collect();
        text.join("\n").replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn every_wrong_name_is_reported() {
        let main = r#"
import "std/local_lip" as lip;
import "helper" as helper;
let cfg = settings(#{ lr: 1e-3, sizes: [1] });
print(cfg.lrr + cfg.lr + cfg.sizes[0]);
fn mine(x) { cov2d(x, 3) }
let f = |x| mine(x, 1);
f(3);
lip::rampe(1, cfg);
lip::ramp(1);
lip::inner();
helper::fine([1]).lenn();
for i in 0..3 { if i > 1 { conv2d(1, 2); conv2d(1) } }
"#;
        insta::assert_snapshot!(check(&[("main.rhai", main), ("helper.rhai", "fn fine(a) { a.map(|x| bad(x)) }")]), @r"
error: `cfg` has no setting `lrr`; did you mean `lr`? The settings are `lr`, `sizes`
  ┌─ main.rhai:5:11
  │
5 │ print(cfg.lrr + cfg.lr + cfg.sizes[0]);
  │           ^^^
error: function not found: cov2d; did you mean `conv2d`?
  ┌─ main.rhai:6:14
  │
6 │ fn mine(x) { cov2d(x, 3) }
  │              ^^^^^
error: no `mine` takes 2 arguments
  ┌─ main.rhai:7:13
  │
7 │ let f = |x| mine(x, 1);
  │             ^^^^
  │
  = it is defined as mine(x)
error: `f` is a variable: if it holds a network, write f.forward(x); if a closure, f.call(x)
  ┌─ main.rhai:8:1
  │
8 │ f(3);
  │ ^
error: module `lip` has no function `rampe`; did you mean `ramp`?
  ┌─ main.rhai:9:6
  │
9 │ lip::rampe(1, cfg);
  │      ^^^^^
error: no `lip::ramp` takes 1 argument
   ┌─ main.rhai:10:6
   │
10 │ lip::ramp(1);
   │      ^^^^
   │
   = it is defined as ramp(epoch, cfg)
error: function `lip::inner` is private to its module
   ┌─ main.rhai:11:6
   │
11 │ lip::inner();
   │      ^^^^^
error: no value has a method `lenn`; did you mean `len`?
   ┌─ main.rhai:12:19
   │
12 │ helper::fine([1]).lenn();
   │                   ^^^^
error: no `conv2d` takes 1 argument
   ┌─ main.rhai:13:42
   │
13 │ for i in 0..3 { if i > 1 { conv2d(1, 2); conv2d(1) } }
   │                                          ^^^^^^
   │
   = it is defined as conv2d(int, int)
                   or conv2d(int, int, map)
error: function not found: bad; did you mean `pad`?
  ┌─ helper.rhai:1:24
  │
1 │ fn fine(a) { a.map(|x| bad(x)) }
  │                        ^^^
");
    }

    #[test]
    fn what_cannot_be_known_is_left_alone() {
        let main = r#"
let m = #{ step: |x| x + 1 };
let cfg = settings(#{ a: 1, by_name: 2 });
print(cfg["by_name"] + cfg.a);
cfg.b = 2;
print(m.step(1) + cfg.b);
let name = "hel" + "per";
import name as helper;
helper::anything(1);
let t = [1, 2].map(|x| x * 2).filter(|x| x > 1);
if type_of(t) == "array" && is_def_fn("f", 1) { print(`${t.len()} ${-t[0]} ${!true}`); }
fn f(x) { this.len() + x }
"#;
        assert_eq!(check(&[("main.rhai", main)]), "");
    }

    #[test]
    fn options_and_settings_that_do_nothing() {
        let main = r#"
import "std/evaluate" as evaluate;
let cfg = settings(#{ epochs: 1, lr: 1e-3 });
let data = #{ train: 1 };
conv2d(32, 3, #{ stride: 2, paddin: 1 });
data.train.batches(cfg.epochs, #{ shufle: true });
evaluate::report(1, data, 0.1, #{ step: 3 });
"#;
        insta::assert_snapshot!(check(&[("main.rhai", main)]), @r"
error: the setting `lr` is never read: `--set lr=...` would change nothing; remove it
  ┌─ main.rhai:3:34
  │
3 │ let cfg = settings(#{ epochs: 1, lr: 1e-3 });
  │                                  ^^
error: conv2d: unknown option `paddin`; did you mean `padding`? The options are `stride`, `padding`, `bias`
  ┌─ main.rhai:5:29
  │
5 │ conv2d(32, 3, #{ stride: 2, paddin: 1 });
  │                             ^^^^^^
error: batches: unknown option `shufle`; did you mean `shuffle`? The options are `shuffle`, `pass`, `drop_last`, `augment`
  ┌─ main.rhai:6:35
  │
6 │ data.train.batches(cfg.epochs, #{ shufle: true });
  │                                   ^^^^^^
error: evaluate::report: unknown option `step`; did you mean `steps`? The options are `procedures`, `procedure`, `bound`, `batch`, `attack`, `steps`, `restarts`, `step_size`, `shard`
  ┌─ main.rhai:7:35
  │
7 │ evaluate::report(1, data, 0.1, #{ step: 3 });
  │                                   ^^^^
");
    }

    #[test]
    fn circles_and_syntax_errors_in_imports() {
        let files = [
            ("main.rhai", "import \"a\" as a;\nimport \"broken\" as b;\nimport \"nowhere\" as c;"),
            ("a.rhai", "import \"b\" as b;"),
            ("b.rhai", "import \"a\" as a;"),
            ("broken.rhai", "let x = 3\nlet y = 4;"),
        ];
        insta::assert_snapshot!(check(&files), @r#"
error: module "nowhere" not found: there is no file nowhere.rhai
  ┌─ main.rhai:3:1
  │
3 │ import "nowhere" as c;
  │ ^^^^^^
error: import cycle: a.rhai -> b.rhai -> a.rhai; move what both need into a third file
  ┌─ b.rhai:1:1
  │
1 │ import "a" as a;
  │ ^^^^^^
error: expected `;` to terminate this statement
  ┌─ broken.rhai:1:9
  │
1 │ let x = 3
  │         ^
"#);
    }
}
