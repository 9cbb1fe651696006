//! The words for each of Rhai's errors: what is wrong in the terms of the script, and the way out.

use super::place::{Place, import_of, is_module_of_std, word_at};
use super::scopes;
use crate::base::suggest;
use crate::script::language::habits;
use crate::script::language::lexical;
use crate::script::language::loader::Loader;
use crate::script::language::names::parameters;
use crate::script::language::signatures::{Native, natives, short_paths, short_type, split_call};
use rhai::{AST, Engine, EvalAltResult, LexError, ParseErrorType, Position, Stmt};

/// At most so many signatures are listed.
const SIGNATURES: usize = 5;

/// The message for `error`, which is not nested, and notes to it. `file` is where it happened.
pub fn describe(error: &EvalAltResult, file: &str, engine: &Engine, loader: &Loader) -> (String, Vec<String>) {
    use EvalAltResult as E;
    let bare = |message: String| (message, vec![]);
    match error {
        E::ErrorRuntime(value, _) if value.is_unit() => bare("the script threw an error without a message".into()),
        E::ErrorRuntime(value, _) => bare(short_paths(&value.to_string())),
        E::ErrorParsing(kind, at) => bare(syntax(kind, *at, file, engine, loader)),
        E::ErrorFunctionNotFound(call, _) => function_not_found(call, file, engine, loader),
        E::ErrorVariableNotFound(name, at) => bare(variable_not_found(name, *at, file, engine, loader)),
        E::ErrorPropertyNotFound(name, _) => bare(format!("the map has no key `{name}`{}", key_hint(name, loader))),
        E::ErrorDotExpr(message, _) => property_not_found(message, engine),
        E::ErrorIndexingType(kinds, _) => {
            let (kind, index) = kinds.split_once(" [").unwrap_or((kinds, ""));
            let index = index.trim_end_matches(']').split(',').next().unwrap_or("");
            let way = match short_type(kind).as_str() {
                "Split" => "; its images are split.images([0, 1]), their labels split.labels([0, 1])",
                "Model" => "; its layers are net.layers[0]",
                "Dataset" => "; its splits are data.train and data.test",
                _ => "",
            };
            bare(format!("a value of type {} cannot be indexed by {}{way}", short_type(kind), short_type(index)))
        }
        E::ErrorMismatchDataType(wanted, got, _) | E::ErrorMismatchOutputType(wanted, got, _)
            if short_type(wanted) == "int" && short_type(got) == "float" =>
        {
            ("expected a whole number, got a float".into(), vec![FRACTION.into()])
        }
        E::ErrorMismatchDataType(wanted, got, _) | E::ErrorMismatchOutputType(wanted, got, _) => {
            bare(format!("expected a value of type {}, got {}", short_type(wanted), short_type(got)))
        }
        E::ErrorArrayBounds(length, index, _) => bare(out_of_range("array", "element", *length, *index)),
        E::ErrorStringBounds(length, index, _) => bare(out_of_range("string", "character", *length, *index)),
        E::ErrorFor(_) => bare(
            "`for` goes over arrays, ranges, texts, run.epochs(n) and split.batches(n); of a map over its keys() or values(), of a \
             network over its layers, of a tensor over `0..x.len()`"
                .into(),
        ),
        E::ErrorStackOverflow(_) => (
            format!("functions call each other more than {} deep", engine.max_call_levels()),
            vec![
                "does a function call itself without end? The chain begins at this call. --max-calls raises the limit"
                    .into(),
            ],
        ),
        E::ErrorDataTooLarge(what, _) => bare(format!(
            "{} is over the limit (strings {} MiB, arrays {} elements, maps {} keys); keep large data in tensors, or raise \
             the limit with --max-string or --max-array",
            what.to_lowercase(),
            engine.max_string_size() >> 20,
            engine.max_array_size(),
            engine.max_map_size()
        )),
        E::ErrorAssignmentToConstant(name, _) => bare(format!("`{name}` is a constant and cannot be assigned to")),
        E::ErrorModuleNotFound(name, _) => {
            bare(format!("module `{name}` is not imported here; {}", import_of(name, &loader.text(file).unwrap_or_default())))
        }
        E::ErrorUnboundThis(_) => bare("`this` has no value: the function was not called as a method, `x.f()`".into()),
        other => bare(without_position(other)),
    }
}

/// Rhai's own words, without the position it appends.
fn without_position(error: &EvalAltResult) -> String {
    let text = error.to_string();
    let position = format!(" ({})", error.position());
    text.strip_suffix(position.as_str()).unwrap_or(&text).to_string()
}

fn out_of_range(what: &str, part: &str, length: usize, index: i64) -> String {
    let parts = if length == 1 { format!("1 {part}") } else { format!("{length} {part}s") };
    format!("index {index} is out of range: the {what} has {parts}")
}

fn variable_not_found(name: &str, at: Position, file: &str, engine: &Engine, loader: &Loader) -> String {
    let text = loader.text(file).unwrap_or_default();
    if let (Some(line), Some(column)) = (at.line(), at.position())
        && let Some(outer) = scopes::outer(&text, name, line, column)
    {
        let (function, declared) = (outer.function, outer.line);
        return if outer.is_constant {
            format!(
                "`{function}` does not see `{name}` (line {declared}) by that name: a function sees its parameters, and the \
                 constants of its file as `global::{name}`"
            )
        } else {
            format!(
                "`{function}` does not see the variable `{name}` (line {declared}): a function sees its parameters alone, and \
                 constants of its file as global::NAME; make `{name}` a parameter, or declare `const {name} = ...` and write \
                 `global::{name}`"
            )
        };
    }
    // A variable of nearly that name comes first.
    let near = suggest::hint(name, lexical::declared(&text));
    if let Some(instead) = habits::elsewhere(name).filter(|_| near.is_empty()) {
        return format!("variable `{name}` not found; {instead}");
    }
    if is_module_of_std(name) {
        return format!("variable `{name}` not found; {}", import_of(name, &text));
    }
    if let Some(here) = Place::of(&text, at)
        && here.rest_after(name).is_some_and(|rest| rest.starts_with('=') && !rest.starts_with("=="))
    {
        let way = if here.is_argument() {
            format!("options are a map: f(x, #{{ {name}: value }})")
        } else {
            format!("a new one is declared: `let {name} = ...`")
        };
        return format!("variable `{name}` not found; {way}");
    }
    let mut known: Vec<&str> = lexical::declared(&text);
    let constants = loader.constants();
    known.extend(constants.iter().map(|(name, ..)| name));
    let shown = name.rsplit("::").next().unwrap_or(name);
    let hint = suggest::hint(shown, known);
    if hint.is_empty() && natives(engine).iter().any(|native| native.name == name && native.namespace.is_empty()) {
        return format!("variable `{name}` not found; a function is called: `{name}(...)`");
    }
    format!("variable `{name}` not found{hint}")
}

fn key_hint(name: &str, loader: &Loader) -> String {
    let sources = loader.sources();
    suggest::hint(name, sources.iter().flat_map(|(_, text)| lexical::map_keys(text)))
}

/// Rhai gives `Unknown property 'x' - a getter is not registered for type 'T'`.
fn property_not_found(message: &str, engine: &Engine) -> (String, Vec<String>) {
    let quoted: Vec<&str> = message.split('\'').skip(1).step_by(2).collect();
    let (name, kind, value) = match quoted[..] {
        [name, kind] => (name, kind, None),
        // What it was to be set to.
        [name, kind, value] => (name, kind, Some(value)),
        _ => return (message.to_string(), vec![]),
    };
    let kind = short_type(kind);
    let all = natives(engine);
    if let Some(value) = value {
        let can_be_read = all.iter().any(|n| n.first == kind && n.name.strip_prefix("get$") == Some(name));
        let has = if can_be_read { "of a value of type" } else { "is none of a value of type" };
        let so = if can_be_read { " cannot be set" } else { ", so it cannot be set" };
        return (format!("the property `{name}` {has} {kind}{so} to a value of type {}", short_type(value)), vec![]);
    }
    let mut known: Vec<&str> =
        all.iter().filter(|n| n.first == kind).filter_map(|n| n.name.strip_prefix("get$")).collect();
    known.dedup();
    let of_tensors = ["view", "size", "numpy", "tolist", "requires_grad"].contains(&name);
    if let Some(instead) = habits::elsewhere(name).filter(|_| of_tensors == (kind == "Tensor")) {
        return (format!("a value of type {kind} has no property `{name}`; {instead}"), vec![]);
    }
    if all.iter().any(|n| n.first == kind && n.name == name && n.arity == 1) {
        return (format!("`{name}` of a {kind} is a function: write `{name}()`"), vec![]);
    }
    let message = format!("a value of type {kind} has no property `{name}`{}", suggest::hint(name, known.clone()));
    let notes = if known.is_empty() {
        vec![]
    } else {
        vec![format!("the properties of {kind} are {}", suggest::list(known.into_iter().take(20)))]
    };
    (message, notes)
}

fn function_not_found(call: &str, file: &str, engine: &Engine, loader: &Loader) -> (String, Vec<String>) {
    let (module, name, kinds) = split_call(call);
    let all = natives(engine);
    if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return operator_not_found(name, &kinds, &all);
    }
    let text = loader.text(file).unwrap_or_default();
    let scripts = script_functions(file, module, loader);
    let same: Vec<String> = all
        .iter()
        .filter(|_| module.is_empty())
        .filter(|n| n.name == name)
        .map(|n| n.shown.clone())
        .chain(scripts.iter().filter(|(n, _)| n == name).map(|(_, shown)| shown.clone()))
        .collect();
    let path = if module.is_empty() { name.to_string() } else { format!("{module}::{name}") };
    let called = format!("{path}({})", kinds.join(", "));
    if let Some(instead) = habits::instead(name, kinds.len()).filter(|_| module.is_empty()) {
        return (format!("no `{name}` takes these arguments: {called}; {instead}"), vec![]);
    }
    if !same.is_empty() {
        let mut notes = vec![known_forms(&same)];
        notes.extend(fraction_note(name, &kinds, &all));
        if kinds.iter().skip(1).any(|kind| kind == "Batch") {
            notes.push(
                "a batch holds images and labels: `for batch in split.batches(64) { ... batch.x ... batch.y ... }`"
                    .into(),
            );
        }
        return (format!("no `{path}` takes these arguments: {called}"), notes);
    }
    if let [kind] = &kinds[..]
        && all.iter().any(|n| n.first == *kind && n.name.strip_prefix("get$") == Some(name))
    {
        return (format!("`{name}` of a {kind} is a property: write it without brackets"), vec![]);
    }
    if let Some(instead) = habits::elsewhere(name).filter(|_| module.is_empty()) {
        return (format!("function not found: {called}; {instead}"), vec![]);
    }
    if module.is_empty() && lexical::declared(&text).contains(&name) {
        return (habits::called_variable(name), vec![]);
    }
    let natives = all.iter().filter(|_| module.is_empty()).map(|n| n.name.as_str());
    let hint = suggest::hint(name, natives.chain(scripts.iter().map(|(n, _)| n.as_str())));
    (format!("function not found: {called}{hint}"), vec![])
}

/// Where a whole number is wanted and a fraction came, as `/` may give it.
const FRACTION: &str =
    "`/` gives a fraction unless it comes out even; div(a, b) gives a whole number, x.round().to_int() the nearest one";

/// [`FRACTION`], if a form of the function takes an int where a float was given.
fn fraction_note(name: &str, kinds: &[String], all: &[Native]) -> Option<String> {
    let takes_int = |native: &&Native| {
        let inside = native.shown.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
        let wanted = inside.split(", ").map(|p| p.rsplit(": ").next().unwrap_or(p));
        native.name == name && native.arity == kinds.len() && wanted.zip(kinds).any(|(w, k)| w == "int" && k == "float")
    };
    all.iter().find(takes_int).map(|_| FRACTION.to_string())
}

fn operator_not_found(name: &str, kinds: &[String], all: &[Native]) -> (String, Vec<String>) {
    let message = match kinds {
        [one] => format!("`{name}` is not defined for {one}"),
        _ => format!("`{name}` is not defined for {}", kinds.join(" and ")),
    };
    let touching: Vec<String> = all
        .iter()
        .filter(|n| n.name == name && n.arity == kinds.len())
        .filter(|n| kinds.iter().any(|k| n.shown.contains(k.as_str()) && k.starts_with(char::is_uppercase)))
        .map(|n| n.shown.clone())
        .collect();
    let mut notes = if touching.is_empty() { vec![] } else { vec![known_forms(&touching)] };
    if kinds.iter().any(|kind| kind == "Tensor") && kinds.iter().any(|kind| kind == "array") {
        notes.push("an array becomes a tensor by tensor([1.0, 2.0])".into());
    }
    (message, notes)
}

/// `it is defined as` and up to five signatures.
pub fn known_forms(signatures: &[String]) -> String {
    let mut lines: Vec<&str> = signatures.iter().take(SIGNATURES).map(String::as_str).collect();
    let more = format!("... and {} more", signatures.len().saturating_sub(SIGNATURES));
    if signatures.len() > SIGNATURES {
        lines.push(&more);
    }
    format!("it is defined as {}", lines.join("\n              or "))
}

/// Name and signature of the script functions that a call in `file` can mean: its own, or those of module `alias`.
fn script_functions(file: &str, alias: &str, loader: &Loader) -> Vec<(String, String)> {
    let ast = if alias.is_empty() { loader.ast(file) } else { imported(file, alias, loader) };
    ast.map(|ast| signatures(&ast)).unwrap_or_default()
}

/// Name and signature of each function of `ast`, closures left out, in alphabetical order.
pub fn signatures(ast: &AST) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = ast
        .iter_functions()
        .filter(|f| !f.name.starts_with("anon$"))
        .map(|f| (f.name.to_string(), format!("{}({})", f.name, f.params.join(", "))))
        .collect();
    found.sort();
    found
}

fn imported(file: &str, alias: &str, loader: &Loader) -> Option<std::rc::Rc<AST>> {
    let ast = loader.ast(file)?;
    let path = ast.statements().iter().find_map(|statement| match statement {
        Stmt::Import(import, _) if import.1.as_str() == alias => import.0.get_literal_value(None),
        _ => None,
    })?;
    loader.ast(&loader.locate(Some(file), &path.to_string()).ok()?)
}

/// A syntax error, with a hint for the commonest slips.
pub fn syntax(kind: &ParseErrorType, at: Position, file: &str, engine: &Engine, loader: &Loader) -> String {
    use ParseErrorType as P;
    match kind {
        P::VariableUndefined(name) => variable_not_found(name, at, file, engine, loader),
        P::ModuleUndefined(name) => {
            format!("module `{name}` is not imported; {}", import_of(name, &loader.text(file).unwrap_or_default()))
        }
        P::MissingToken(token, what) if token == ";" => format!("expected `;` {what}"),
        P::MissingToken(token, what) => {
            let text = loader.text(file).unwrap_or_default();
            let next = Place::of(&text, at).map_or("", |place| place.rest);
            let hint = match token.as_str() {
                "," if what.contains("argument") && next.starts_with('=') && !next.starts_with("==") => {
                    "; options are a map: f(x, #{ name: value })"
                }
                "{" if next.starts_with(':') => "; what a line begins stands in braces: `for i in 0..3 { ... }`",
                _ => "",
            };
            format!("expected `{token}` {what}{hint}")
        }
        P::BadInput(LexError::MalformedChar(text)) => {
            format!("'{text}' is no character; a text stands between double quotes: \"{text}\"")
        }
        P::PropertyExpected if word_at(at, file, loader).is_some_and(|word| habits::elsewhere(&word).is_some()) => {
            let word = word_at(at, file, loader).unwrap_or_default();
            format!("`{word}` is nothing here; {}", habits::elsewhere(&word).unwrap_or_default())
        }
        P::Reserved(sign) if sign == "#" => "`#` does not belong here; a comment begins with `//`".into(),
        P::BadInput(LexError::ImproperSymbol(word, _)) if word == "eval" => {
            "`eval` is switched off: code made from strings cannot be checked".into()
        }
        P::Reserved(word) if word.starts_with(char::is_alphabetic) => {
            format!("`{word}` is a word of the language and cannot be used as a name; pick another, such as `{word}_`")
        }
        P::Reserved(sign) => format!("`{sign}` does not belong here"),
        P::UnexpectedEOF => "the script ends in the middle of a statement; is a `}`, `)` or `]` missing?".into(),
        P::BadInput(LexError::UnterminatedString) => {
            "the string is not closed; add `\"`, or write text of several lines between back-quotes".into()
        }
        P::FnDuplicatedDefinition(name, arity) => {
            format!("function `{name}` with {} is defined twice in this file", parameters(*arity))
        }
        P::AssignmentToConstant(name) => format!("`{name}` is a constant and cannot be assigned to; use `let`"),
        P::MismatchedType(wanted, got) if wanted == "an iterable value" => match got.as_str() {
            "an object map" => habits::NO_MAP.into(),
            "a number" | "a floating-point number" => habits::NO_NUMBER.into(),
            other => format!("`for` does not go over {other}"),
        },
        P::VariableExpected => "expected the name of a variable".into(),
        P::ExprExpected(_) => "expected an expression".into(),
        other => {
            let text = other.to_string();
            let mut letters = text.chars();
            letters.next().map_or(text.clone(), |first| first.to_lowercase().collect::<String>() + letters.as_str())
        }
    }
}
