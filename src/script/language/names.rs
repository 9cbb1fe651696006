//! One name, one function; one alias, one file. Rhai resolves a call by name and arity in a cache that all modules share, so
//! two files that define the same function can call each other's without a word (tests/hosting.rs keeps watch); and a closure
//! can see another file's aliases, or run for its equal in another file ([`super::callbacks`]). Here what could go wrong is
//! refused before anything runs.

use super::callbacks::{Callbacks, Closure, Import};
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
    aliases: Vec<Alias>,
    /// By file; those that use an alias.
    closures: Vec<(String, Closure)>,
}

/// What an alias stands for in a file.
#[derive(Clone, Debug)]
struct Alias {
    file: String,
    import: Import,
    /// The file that is imported, as the loader shows it; its expression's place where that is not known.
    target: String,
    /// Do closures of the file use it?
    reached: bool,
}

impl Names {
    /// The natives of `engine`, no script yet.
    pub fn new(engine: &Engine) -> Self {
        let global = natives(engine).into_iter().filter(|n| n.namespace.is_empty());
        Self {
            natives: global.map(|n| (n.name, n.arity)).collect(),
            scripts: BTreeMap::new(),
            aliases: vec![],
            closures: vec![],
        }
    }

    /// Enter the functions, aliases and closures of `ast`, read from `text`; `locate` knows the file that a path leads to. A
    /// file may come again and bring its own again; when anything clashes, nothing of it is entered.
    pub fn admit(
        &mut self,
        ast: &AST,
        file: &str,
        text: &str,
        locate: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Vec<Clash>> {
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
        let callbacks = Callbacks::of(ast);
        let aliases: Vec<Alias> = callbacks.imports.iter().map(|i| alias(i, file, &callbacks, locate)).collect();
        let bound = callbacks.closures.iter().filter(|closure| closure.is_bound);
        let mut clashes: Vec<Clash> = found
            .iter()
            .filter_map(|(key, line, column)| {
                self.clash(key, file).map(|message| Clash { message, line: *line, column: *column })
            })
            .collect();
        clashes.extend(aliases.iter().enumerate().filter_map(|(i, alias)| self.alias_clash(alias, &aliases[..i])));
        clashes.extend(bound.clone().filter_map(|closure| self.closure_clash(closure, file)));
        if !clashes.is_empty() {
            clashes.sort_by_key(|clash| (clash.line, clash.column));
            return Err(clashes);
        }
        let known = |known: &Alias| {
            aliases.iter().any(|new| new.file == known.file && new.import == known.import && new.target == known.target)
        };
        self.aliases.retain(|alias| !known(alias));
        self.closures.extend(bound.map(|closure| (file.to_string(), closure.clone())));
        self.aliases.extend(aliases);
        self.scripts.extend(found.into_iter().map(|(key, line, column)| (key, (file.to_string(), line, column))));
        Ok(())
    }

    /// Leave out what is of `file`, which is about to be admitted anew.
    pub fn forget(&mut self, file: &str) {
        self.scripts.retain(|_, (home, ..)| home != file);
        self.aliases.retain(|alias| alias.file != file);
        self.closures.retain(|(home, _)| home != file);
    }

    /// `new` stands for something else in another file, or earlier in its own, and a closure of either uses it.
    fn alias_clash(&self, new: &Alias, before: &[Alias]) -> Option<Clash> {
        let other = self.aliases.iter().chain(before).find(|other| {
            other.import.alias == new.import.alias && other.target != new.target && (other.reached || new.reached)
        })?;
        let name = &new.import.alias;
        // Nobody can change the program's own modules.
        let which = if super::origin::is_std(&new.file) { "give that one" } else { "give one of them" };
        let message = format!(
            "`{name}` is {} here and {} in {}:{}:{}; a closure that the other calls would see the wrong one; {which} another \
             name: import \"...\" as {name}_;",
            new.target, other.target, other.file, other.import.line, other.import.column
        );
        Some(Clash { message, line: new.import.line, column: new.import.column })
    }

    /// Rhai knows a closure by its text and place.
    fn closure_clash(&self, new: &Closure, file: &str) -> Option<Clash> {
        let (other, _) = self.closures.iter().find(|(other, known)| other != file && known.name == new.name)?;
        let message = format!(
            "{other} has the same closure at the same line and column, and one would run for the other; move one of them, by \
             an empty line before it"
        );
        Some(Clash { message, line: new.line, column: new.column })
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

fn alias(import: &Import, file: &str, callbacks: &Callbacks, locate: &dyn Fn(&str) -> Option<String>) -> Alias {
    let target = import.path.as_deref().and_then(locate);
    let unknown = || format!("the module imported in {file}:{}:{}", import.line, import.column);
    Alias {
        file: file.to_string(),
        import: import.clone(),
        target: target.unwrap_or_else(unknown),
        reached: callbacks.reached.contains(&import.alias),
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
        let mut engine = Engine::new();
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        match names.admit(&engine.compile(text).unwrap(), file, text, &|path| Some(path.to_string())) {
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

    #[test]
    fn an_alias_that_closures_use_stands_for_one_file() {
        let mut names = Names::new(&Engine::new());
        assert_eq!(admit(&mut names, "a", "import \"x\" as m; fn use_m(v) { v * m::K }"), "admitted");
        // Nothing that is called back uses either of them.
        assert_eq!(admit(&mut names, "b", "import \"y\" as m; m::K"), "admitted");
        assert_eq!(admit(&mut names, "c", "import \"x\" as m; [1].map(|v| v)"), "admitted");
        insta::assert_snapshot!(admit(&mut names, "d", "1;\n  import \"z\" as m; [1].map(|v| v * m::K)"), @"2:3 `m` is z here and x in a:1:1; a closure that the other calls would see the wrong one; give one of them another name: import \"...\" as m_;");
        // The one that has a closure may come first, and one file may use a name twice.
        assert_eq!(admit(&mut names, "e", "import \"x\" as n; [1].map(|v| n::K)"), "admitted");
        assert!(admit(&mut names, "f", "import \"y\" as n;").contains("`n` is y here and x in e:1:1"));
        assert!(admit(&mut names, "g", "import \"x\" as o; let f = |v| o::K; import \"y\" as o;").contains("in g:1:1"));
        names.forget("e");
        assert_eq!(admit(&mut names, "f", "import \"y\" as n;"), "admitted");
    }

    #[test]
    fn closures_that_rhai_takes_for_each_other_are_refused() {
        let mut names = Names::new(&Engine::new());
        let scale = "const K = 2; fn by_two() { |x| x * global::K }";
        assert_eq!(admit(&mut names, "a", scale), "admitted");
        assert_eq!(admit(&mut names, "a", scale), "admitted");
        let other = "const K = 5; fn by_fiv() { |x| x * global::K }";
        assert!(admit(&mut names, "b", other).contains("a has the same closure at the same line and column"));
        assert_eq!(admit(&mut names, "b", &format!("\n{other}")), "admitted");
        // What uses nothing of its file does the same in both.
        assert_eq!(admit(&mut names, "c", "fn c() { |x| x * 2 }"), "admitted");
        assert_eq!(admit(&mut names, "d", "fn d() { |x| x * 2 }"), "admitted");
    }
}
