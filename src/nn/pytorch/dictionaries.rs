//! The dictionaries of tensors in what a program has saved: the whole, or somewhere in its dictionaries and lists.

use super::pickle::Pickled;
use super::refusal::shown;
use super::value::{Id, Outcome, Stored, Value};
use candle_core::DType;
use std::collections::HashSet;

/// No parameter has a longer name.
const LONGEST_NAME: usize = 200;
/// How deep dictionaries are looked for, and how many are listed.
const DEEPEST: usize = 4;
const MOST: usize = 1000;

/// What a file says of one of its tensors.
#[derive(Clone, Debug)]
pub struct Described(pub(super) Stored);

impl Described {
    pub fn dims(&self) -> &[usize] {
        &self.0.dims
    }

    /// The type of its numbers, as messages call it.
    pub fn kind(&self) -> &'static str {
        self.0.storage.element.name
    }

    /// Set for the types that parameters can have.
    pub fn float(&self) -> Option<DType> {
        self.0.storage.element.float
    }
}

/// One dictionary of tensors.
#[derive(Clone, Debug)]
pub struct Dictionary {
    /// Where it stands: `state_dict`, `models[1]`, `checkpoint.model`; nothing where it is the whole.
    pub key: String,
    /// In the order in which they were saved.
    pub tensors: Vec<(String, Described)>,
}

/// All of them, at least one.
pub fn find(pickled: &Pickled) -> Outcome<Vec<Dictionary>> {
    let Pickled { values, root } = pickled;
    let mut search = Search { values, found: vec![], seen: HashSet::new(), only: true };
    search.look("", *root, 0);
    if search.found.is_empty() {
        // None that holds nothing else.
        (search.only, search.seen) = (false, HashSet::new());
        search.look("", *root, 0);
    }
    let found = search.found;
    if let Some(name) = found.iter().flat_map(|d| &d.tensors).map(|(name, _)| name).find(|name| !is_name(name)) {
        return Err(format!("`{}...` is no name of a tensor", shown(name)));
    }
    match (found.is_empty(), &values[*root]) {
        (false, _) => Ok(found),
        (true, Value::Dict(entries)) => {
            Err(format!("neither it nor one of its {} entries is a dictionary of tensors", entries.len()))
        }
        (true, Value::List(list)) => {
            Err(format!("it is a list, none of whose {} entries is a dictionary of tensors", list.len()))
        }
        (true, other) => Err(format!("it is {}, no dictionary", other.kind())),
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && !name.chars().any(char::is_control)
}

struct Search<'a> {
    values: &'a [Value],
    found: Vec<Dictionary>,
    /// Each value is looked at once, however many keys lead to it.
    seen: HashSet<Id>,
    /// Only dictionaries that hold nothing but tensors, or tensors of layers?
    only: bool,
}

impl Search<'_> {
    fn look(&mut self, key: &str, id: Id, depth: usize) {
        if depth > DEEPEST || self.found.len() == MOST || !self.seen.insert(id) {
            return;
        }
        match &self.values[id] {
            Value::Dict(entries) => {
                let tensor = |(key, value): &(Id, Id)| match (&self.values[*key], &self.values[*value]) {
                    (Value::Text(key), Value::Tensor(tensor)) => Some((key.clone(), Described(Clone::clone(tensor)))),
                    _ => None,
                };
                let tensors: Vec<_> = entries.iter().filter_map(tensor).collect();
                // Parameters are named by their layers; what else stands among them is none.
                let named = || tensors.iter().any(|(name, _)| name.contains('.'));
                if !tensors.is_empty() && (tensors.len() == entries.len() || !self.only || named()) {
                    self.found.push(Dictionary { key: key.into(), tensors });
                    return;
                }
                for (name, value) in entries {
                    // An optimiser numbers its states, which are no weights.
                    if let Value::Text(name) = &self.values[*name] {
                        let name = shown(name);
                        self.look(&if key.is_empty() { name } else { format!("{key}.{name}") }, *value, depth + 1);
                    }
                }
            }
            Value::List(items) | Value::Tuple(items) => {
                for (at, value) in items.iter().enumerate() {
                    self.look(&format!("{key}[{at}]"), *value, depth + 1);
                }
            }
            _ => {}
        }
    }
}
