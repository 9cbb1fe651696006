//! What a file's closures reach: the part of it that other files may call back
//!
//! Rhai looks up an alias where a call runs, the import made last first: a closure that a module calls back sees the module's
//! `lip::`, and so does what the closure calls. And it knows a closure by its text, line and column: of two that are equal in
//! two files one runs for the other (tests/hosting.rs keeps watch). [`super::names`] refuses what could go wrong by this.

use super::changes::only;
use rhai::{AST, ASTNode, Array, Dynamic, Expr, FnCallExpr, Map, Position, Stmt};
use std::collections::{BTreeMap, BTreeSet};

/// A closure of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// What Rhai calls it.
    pub name: String,
    pub line: usize,
    pub column: usize,
    /// Does it use what an alias or `global` stands for? Otherwise its equal does the same.
    pub is_bound: bool,
}

/// An import as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub alias: String,
    /// The path, if it is a literal.
    pub path: Option<String>,
    pub line: usize,
    pub column: usize,
}

/// What of a file matters to others that call it back.
#[derive(Clone, Debug, Default)]
pub struct Callbacks {
    pub imports: Vec<Import>,
    pub closures: Vec<Closure>,
    /// Aliases that its closures use, themselves or in functions that they call.
    pub reached: BTreeSet<String>,
}

/// What one body uses.
#[derive(Default)]
struct Uses {
    aliases: BTreeSet<String>,
    calls: BTreeSet<String>,
    /// Words that can hand a function on: `f`, `"f"`, `Fn("f")`.
    words: BTreeSet<String>,
    /// Is there an `Fn(...)` of a name that is made while the script runs?
    makes_pointers: bool,
}

impl Callbacks {
    /// Of a file that has been parsed.
    pub fn of(ast: &AST) -> Self {
        let mut found = Self::default();
        let place = |at: Position| (at.line().unwrap_or(1), at.position().unwrap_or(1));
        let mut uses: BTreeMap<&str, Uses> = BTreeMap::new();
        uses.insert("", Uses::of(&ast.clone_statements_only()));
        for function in ast.iter_fn_def() {
            let name = function.name.as_str();
            // Functions of one name are taken for one, which can only find too much.
            let own = only(ast, name, None);
            uses.entry(name).or_insert_with(|| Uses::of(&own));
            if name.starts_with("anon$") {
                let (line, column) = place(function.body.start_position());
                let is_bound = !uses[name].aliases.is_empty();
                found.closures.push(Closure { name: name.to_string(), line, column, is_bound });
            }
        }
        ast.walk(&mut |path: &[ASTNode]| {
            if let Some(ASTNode::Stmt(Stmt::Import(import, at))) = path.last() {
                let (line, column) = place(*at);
                let literal = import.0.get_literal_value(None).and_then(|path: Dynamic| path.into_string().ok());
                found.imports.push(Import { alias: import.1.as_str().to_string(), path: literal, line, column });
            }
            true
        });
        // From the closures, and the functions that are handed on by name, to all that they call.
        let by_any_name = uses.values().any(|uses| uses.makes_pointers);
        let named = |name: &str| uses.values().any(|uses| uses.words.contains(name));
        let names = uses.keys().copied().filter(|name| !name.is_empty());
        let mut open: Vec<&str> = names.filter(|n| by_any_name || n.starts_with("anon$") || named(n)).collect();
        let mut seen: BTreeSet<&str> = open.iter().copied().collect();
        while let Some(name) = open.pop() {
            let Some(uses) = uses.get(name) else { continue };
            found.reached.extend(uses.aliases.iter().cloned());
            open.extend(uses.calls.iter().map(String::as_str).filter(|called| seen.insert(called)));
        }
        found
    }
}

impl Uses {
    fn of(body: &AST) -> Self {
        let mut uses = Self::default();
        body.walk(&mut |path: &[ASTNode]| {
            path.last().into_iter().for_each(|node| uses.note(node));
            true
        });
        uses
    }

    fn note(&mut self, node: &ASTNode) {
        match node {
            ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
                self.call(call);
            }
            ASTNode::Expr(Expr::Variable(variable, ..)) => {
                self.aliases.extend(variable.2.path.first().map(|root| root.as_str().to_string()));
                self.words.insert(variable.1.to_string());
            }
            ASTNode::Expr(Expr::StringConstant(word, _)) => drop(self.words.insert(word.to_string())),
            ASTNode::Expr(Expr::DynamicConstant(value, _)) => self.texts(value),
            _ => {}
        }
    }

    fn call(&mut self, call: &FnCallExpr) {
        match call.namespace.path.first() {
            Some(root) => drop(self.aliases.insert(root.as_str().to_string())),
            None => drop(self.calls.insert(call.name.to_string())),
        }
        self.makes_pointers |= call.name == "Fn" && !matches!(call.args.first(), Some(Expr::StringConstant(..)));
    }

    /// The texts of an array or a map of constants.
    fn texts(&mut self, value: &Dynamic) {
        if let Ok(word) = value.clone().into_string() {
            self.words.insert(word);
        } else if let Some(array) = value.read_lock::<Array>() {
            array.iter().for_each(|value| self.texts(value));
        } else if let Some(map) = value.read_lock::<Map>() {
            map.values().for_each(|value| self.texts(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(script: &str) -> Vec<String> {
        let mut engine = rhai::Engine::new();
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        Callbacks::of(&engine.compile(script).unwrap()).reached.into_iter().collect()
    }

    #[test]
    fn what_closures_reach_is_found_and_what_they_do_not_is_not() {
        let head = "import \"a\" as a; import \"b\" as b; fn f(x) { g(x) } fn g(x) { a::K * x } fn h(x) { b::K * x }";
        assert!(reached(&format!("{head} f(1); h(1); a::K;")).is_empty());
        assert_eq!(reached(&format!("{head} [1].map(|x| f(x));")), ["a"]);
        assert_eq!(reached(&format!("{head} [1].map(|x| b::g(x));")), ["b"]);
        assert_eq!(reached(&format!("{head} [1].map(Fn(\"h\"));")), ["b"]);
        assert_eq!(reached(&format!("{head} [1].map(h);")), ["b"]);
        assert_eq!(reached(&format!("{head} let name = [\"h\"];")), ["b"]);
        assert_eq!(reached(&format!("{head} let n = \"x\" + 1; [1].map(Fn(n));")), ["a", "b"]);
        assert_eq!(reached(&format!("{head} fn i() {{ [1].map(|x| [x].map(|y| h(y))) }}")), ["b"]);
    }
}
