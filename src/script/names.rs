//! One name, one function. Rhai resolves a call by name and arity in a cache that all modules share, so two files that
//! define the same function can call each other's without a word (tests/hosting.rs keeps watch). Here such a
//! definition is refused before anything runs.

use super::lexical;
use super::signatures::natives;
use rhai::{AST, Engine};
use std::collections::{BTreeMap, HashSet};

/// Name, number of parameters, type of `this` if the function is written for one type.
type Key = (String, usize, Option<String>);

/// A definition that would hide another, or be hidden by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// What to tell the user.
    pub message: String,
    /// Line of the name in the file being admitted.
    pub line: usize,
    /// Its column.
    pub column: usize,
}

/// Every function known so far.
#[derive(Clone, Debug)]
pub struct Names {
    natives: HashSet<(String, usize)>,
    scripts: BTreeMap<Key, (String, usize, usize)>,
}

impl Names {
    /// The natives of `engine`, no script yet.
    pub fn new(engine: &Engine) -> Self {
        let global = natives(engine).into_iter().filter(|n| n.namespace.is_empty());
        Self { natives: global.map(|n| (n.name, n.arity)).collect(), scripts: BTreeMap::new() }
    }

    /// Enter the functions of `ast`, read from `text`. A file may come again and bring its functions again; when
    /// anything clashes, nothing of it is entered.
    pub fn admit(&mut self, ast: &AST, file: &str, text: &str) -> Result<(), Vec<Clash>> {
        let places = lexical::definitions(text);
        let mut found: Vec<(Key, usize, usize)> = ast
            .iter_functions()
            .filter(|f| !f.name.starts_with("anon$"))
            .map(|f| {
                let place = places.iter().rev().find(|d| d.name == f.name && d.arity == f.params.len());
                let key = (f.name.to_string(), f.params.len(), f.this_type.map(str::to_string));
                (key, place.map_or(1, |d| d.line), place.map_or(1, |d| d.column))
            })
            .collect();
        found.sort_by_key(|(_, line, column)| (*line, *column));
        let clashes: Vec<Clash> = found
            .iter()
            .filter_map(|(key, line, column)| {
                self.clash(key, file).map(|message| Clash { message, line: *line, column: *column })
            })
            .collect();
        if !clashes.is_empty() {
            return Err(clashes);
        }
        self.scripts.extend(found.into_iter().map(|(key, line, column)| (key, (file.to_string(), line, column))));
        Ok(())
    }

    /// Leave out the functions of `file`, which is about to be admitted anew.
    pub fn forget(&mut self, file: &str) {
        self.scripts.retain(|_, (home, ..)| home != file);
    }

    /// The file that defines the function `name`.
    pub fn home_of(&self, name: &str) -> Option<String> {
        self.scripts.iter().find(|((known, ..), _)| known == name).map(|(_, (home, ..))| home.clone())
    }

    fn clash(&self, key: &Key, file: &str) -> Option<String> {
        let (name, arity, this) = key;
        let native = |arity: usize| self.natives.contains(&(name.clone(), arity));
        if this.is_none() && native(*arity) {
            return Some(format!(
                "function `{name}` with {} is already defined by the host and would be hidden everywhere; pick another \
                 name",
                parameters(*arity)
            ));
        }
        // `x.name(...)` finds a script function of one parameter less than a native one, `this` being the missing one.
        if native(arity + 1) {
            return Some(format!(
                "function `{name}` with {} would also take the method calls `x.{name}(...)` of the host's `{name}` with \
                 {}; pick another name",
                parameters(*arity),
                parameters(arity + 1)
            ));
        }
        let (other, line, column) = self.scripts.get(key).filter(|(other, ..)| other != file)?;
        Some(format!(
            "function `{name}` with {} is already defined in {other}:{line}:{column}, and one would be called for the \
             other; rename one of the two",
            parameters(*arity)
        ))
    }
}

/// `1 parameter`, `2 parameters`.
pub fn parameters(count: usize) -> String {
    if count == 1 { "1 parameter".into() } else { format!("{count} parameters") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(names: &mut Names, file: &str, text: &str) -> String {
        match names.admit(&Engine::new().compile(text).unwrap(), file, text) {
            Ok(()) => "admitted".into(),
            Err(clashes) => {
                clashes.iter().map(|c| format!("{}:{} {}\n", c.line, c.column, c.message)).collect::<String>()
            }
        }
    }

    #[test]
    fn names_are_unique_across_files() {
        let mut names = Names::new(&Engine::new());
        assert_eq!(admit(&mut names, "a", "fn helper(x) { x }"), "admitted");
        assert_eq!(admit(&mut names, "a", "fn helper(x) { x + 1 }"), "admitted");
        assert_eq!(admit(&mut names, "b", "fn helper(x, y) { x } fn Tensor.helper(x) { this }"), "admitted");
        assert_eq!(admit(&mut names, "c", "fn print_row(x) { [x].map(|y| y) }"), "admitted");
        insta::assert_snapshot!(admit(&mut names, "d", "// far\nfn other() { 1 }\n  fn helper(x) { x }"), @"3:6 function `helper` with 1 parameter is already defined in a:1:4, and one would be called for the other; rename one of the two");
    }

    #[test]
    fn natives_are_not_hidden() {
        let mut names = Names::new(&Engine::new());
        insta::assert_snapshot!(admit(&mut names, "d", "fn sqrt(x) { x }"), @"1:4 function `sqrt` with 1 parameter is already defined by the host and would be hidden everywhere; pick another name");
        insta::assert_snapshot!(admit(&mut names, "d", "fn filter(x) { x }"), @"1:4 function `filter` with 1 parameter would also take the method calls `x.filter(...)` of the host's `filter` with 2 parameters; pick another name");
    }
}
