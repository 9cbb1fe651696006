//! What the documentation lacks: functions of the host without an entry, entries without a function, entries without
//! shapes, errors or an example. `tests/documentation.rs` wants the list to be empty.

use super::Docs;
use super::page::{Form, Kind};
use crate::script::bind::type_names;
use crate::script::language::signatures::{Native, natives};
use rhai::Engine;
use std::collections::BTreeSet;

/// Name, number of arguments, the host's type before the dot.
type Key = (String, usize, String);

/// How values print is seen, not called.
const UNSEEN: [&str; 4] = ["to_string", "to_debug", "print", "debug"];

/// One line for each thing that is missing.
pub fn missing(engine: &Engine, docs: &Docs) -> Vec<String> {
    let types = type_names(engine);
    let own = host_functions(engine);
    let registered: BTreeSet<Key> = natives(engine).iter().map(|native| native_key(native, &types)).collect();
    let described: BTreeSet<Key> = docs
        .host_entries()
        .flat_map(|entry| &entry.forms)
        .filter(|form| form.kind != Kind::Constant)
        .map(|form| form_key(form, &types))
        .collect();
    let mut found = vec![];
    for native in &own {
        if !described.contains(&native_key(native, &types)) {
            found.push(format!("host function {} has no entry in docs/reference/*.d.rhai", native.shown));
        }
    }
    for page in docs.pages.iter() {
        for entry in &page.entries {
            let name = entry.forms.first().map_or(String::new(), Form::shown);
            for what in entry.lacks() {
                found.push(format!("{}:{}: {name} lacks {what}", page.name, entry.line));
            }
            for form in entry.forms.iter().filter(|form| !page.is_module() && form.kind != Kind::Constant) {
                if !registered.contains(&form_key(form, &types)) {
                    found.push(format!("{}:{}: the host has no {}", page.name, entry.line, form.shown()));
                }
            }
        }
    }
    found
}

/// What the host adds to Rhai.
pub fn host_functions(engine: &Engine) -> Vec<Native> {
    let rhai: BTreeSet<Native> = natives(&Engine::new()).into_iter().collect();
    natives(engine).into_iter().filter(|n| !rhai.contains(n) && !UNSEEN.contains(&n.name.as_str())).collect()
}

fn native_key(native: &Native, types: &[String]) -> Key {
    let owner =
        if types.contains(&native.first) && is_word(&native.name) { native.first.clone() } else { String::new() };
    (native.name.replace("index$get$", "[]"), native.arity, owner)
}

fn form_key(form: &Form, types: &[String]) -> Key {
    let first = form.parameters.first().map_or("", |(_, kind)| kind.as_str());
    let owner = if types.iter().any(|t| t == first) && is_word(&form.name) { first } else { "" };
    let name = if form.kind == Kind::Property { format!("get${}", form.name) } else { form.name.clone() };
    (name, form.parameters.len(), owner.to_string())
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic()) && !name.starts_with("index$")
}
