//! What a parsed script calls, imports and declares: the raw material of the check.

use crate::script::language::changes::leftmost;
use rhai::{AST, ASTNode, Dynamic, Expr, FnCallExpr, Map, Position, Stmt};
use std::collections::{BTreeMap, BTreeSet};

/// A function call as written.
#[derive(Clone, Debug)]
pub struct Call {
    /// The modules before `::`, outermost first.
    pub module: Vec<String>,
    /// The function's name.
    pub name: String,
    /// The number of arguments between the parentheses.
    pub arity: usize,
    /// Written after a dot?
    pub method: bool,
    /// Where the call stands.
    pub at: Position,
    /// Keys of the map literal that is the last argument, with their places.
    pub options: Vec<(String, Position)>,
}

/// The names that a script uses and makes.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// Every call, operators left out.
    pub calls: Vec<Call>,
    /// Alias, path if it is a literal, position.
    pub imports: Vec<(String, Option<String>, Position)>,
    /// Alias and the file it stands for; filled in by the check.
    pub aliases: BTreeMap<String, String>,
    /// Keys of map literals and of assignments `map.key = ...`: such a key may hold a closure.
    pub keys: BTreeSet<String>,
    /// Names of variables.
    pub variables: BTreeSet<String>,
    /// The keys of every variable `let cfg = settings(#{...})`.
    pub settings: BTreeMap<String, BTreeSet<String>>,
    /// Key and place of every setting that such a variable has.
    pub setting_places: Vec<(String, Position)>,
    /// Words after a dot and whole strings: how a setting is read.
    pub words: BTreeSet<String>,
    /// Variable, key, place of every `cfg.key` that the settings lack.
    pub unknown_settings: Vec<(String, String, Position)>,
}

impl Outline {
    /// Read `ast`, which must not have been optimised.
    pub fn of(ast: &AST) -> Self {
        let mut outline = Self::default();
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Stmt(statement)) => outline.statement(statement),
                Some(ASTNode::Expr(expression)) => outline.expression(expression),
                _ => {}
            }
            true
        });
        outline.settings = settings(ast);
        outline.setting_places = setting_places(ast);
        outline.unknown_settings = unknown_settings(ast, &outline.settings);
        outline
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::FnCall(call, at) => self.call(call, false, *at),
            Stmt::Import(import, at) => {
                let path = import.0.get_literal_value(None).and_then(|value| value.into_string().ok());
                self.imports.push((import.1.as_str().to_string(), path, *at));
            }
            Stmt::Var(variable, ..) => {
                self.variables.insert(variable.0.as_str().to_string());
            }
            Stmt::For(parts, _) => {
                self.variables.insert(parts.0.as_str().to_string());
            }
            Stmt::Assignment(assignment) => {
                if let Some((key, _)) = last_property(&assignment.1.lhs) {
                    self.keys.insert(key.to_string());
                }
            }
            _ => {}
        }
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::FnCall(call, at) => self.call(call, false, *at),
            Expr::MethodCall(call, at) => self.call(call, true, *at),
            Expr::Map(..) | Expr::DynamicConstant(..) => self.keys.extend(literal_keys(expression)),
            Expr::Property(property, _) => {
                self.words.insert(property.2.to_string());
            }
            Expr::StringConstant(text, _) => {
                self.words.insert(text.to_string());
            }
            _ => {}
        }
    }

    fn call(&mut self, call: &FnCallExpr, method: bool, at: Position) {
        let is_word = call.name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if call.is_operator_call() || !is_word {
            return;
        }
        let module: Vec<String> = call.namespace.path.iter().map(|part| part.as_str().to_string()).collect();
        let at = if module.is_empty() || !at.is_none() { at } else { call.namespace.position() };
        let options = match call.args.last() {
            Some(Expr::Map(map, _)) => map.0.iter().map(|(key, _)| (key.as_str().to_string(), key.pos)).collect(),
            _ => vec![],
        };
        self.calls.push(Call { module, name: call.name.to_string(), arity: call.args.len(), method, at, options });
    }
}

fn literal_keys(expression: &Expr) -> Vec<String> {
    match expression {
        Expr::Map(map, _) => map.0.iter().map(|(key, _)| key.as_str().to_string()).collect(),
        Expr::DynamicConstant(value, _) => {
            let map = Dynamic::clone(value).try_cast::<Map>();
            map.map(|map| map.keys().map(|key| key.to_string()).collect()).unwrap_or_default()
        }
        _ => vec![],
    }
}

/// The variables that hold settings and nothing else: declared once, never assigned to as a whole.
fn settings(ast: &AST) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for statement in ast.statements() {
        if let Stmt::Var(variable, ..) = statement
            && let Expr::FnCall(call, _) = &variable.1
            && call.name == "settings"
            && let [map @ (Expr::Map(..) | Expr::DynamicConstant(..))] = &call.args[..]
        {
            found.insert(variable.0.as_str().to_string(), literal_keys(map).into_iter().collect());
        }
    }
    let mut declared: BTreeMap<String, usize> = BTreeMap::new();
    let mut changed: BTreeSet<String> = BTreeSet::new();
    let mut added: Vec<(String, String)> = vec![];
    top_level(ast, |node| match node {
        ASTNode::Stmt(Stmt::Var(variable, ..)) => *declared.entry(variable.0.as_str().to_string()).or_default() += 1,
        ASTNode::Stmt(Stmt::For(parts, _)) => *declared.entry(parts.0.as_str().to_string()).or_default() += 1,
        ASTNode::Stmt(Stmt::Assignment(assignment)) => match &assignment.1.lhs {
            Expr::Variable(variable, ..) => {
                changed.insert(variable.1.to_string());
            }
            lhs => added.extend(first_property(lhs).map(|(variable, key, _)| (variable.to_string(), key.to_string()))),
        },
        ASTNode::Expr(Expr::Dot(parts, ..)) => {
            if let (Expr::Variable(variable, ..), Expr::MethodCall(call, _)) = (&parts.lhs, leftmost(&parts.rhs))
                && ["set", "mixin", "fill_with", "clear", "remove"].contains(&call.name.as_str())
            {
                changed.insert(variable.1.to_string());
            }
        }
        _ => {}
    });
    found.retain(|name, _| declared.get(name) == Some(&1) && !changed.contains(name));
    for (variable, key) in added {
        found.entry(variable).and_modify(|keys| {
            keys.insert(key);
        });
    }
    found
}

/// Key and place of what is written in `settings(#{...})`.
fn setting_places(ast: &AST) -> Vec<(String, Position)> {
    let mut found = vec![];
    top_level(ast, |node| {
        let call = match node {
            ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => call,
            _ => return,
        };
        if let ("settings", [Expr::Map(map, _)]) = (call.name.as_str(), &call.args[..]) {
            found.extend(map.0.iter().map(|(key, _)| (key.as_str().to_string(), key.pos)));
        }
    });
    found
}

fn unknown_settings(ast: &AST, settings: &BTreeMap<String, BTreeSet<String>>) -> Vec<(String, String, Position)> {
    let mut found = vec![];
    top_level(ast, |node| {
        if let ASTNode::Expr(expression) = node
            && let Some((variable, key, at)) = first_property(expression)
            && settings.get(variable).is_some_and(|keys| !keys.contains(key))
        {
            found.push((variable.to_string(), key.to_string(), at));
        }
    });
    found
}

/// Walk the statements outside functions and closures, where a top-level variable is that variable.
fn top_level(ast: &AST, mut visit: impl FnMut(&ASTNode)) {
    for statement in ast.statements() {
        statement.walk(&mut vec![], &mut |path: &[ASTNode]| {
            if let Some(node) = path.last() {
                visit(node);
            }
            true
        });
    }
}

/// `cfg.key...`: the variable, the key, the key's place.
fn first_property(expression: &Expr) -> Option<(&str, &str, Position)> {
    let Expr::Dot(parts, ..) = expression else { return None };
    let (Expr::Variable(variable, ..), Expr::Property(property, at)) = (&parts.lhs, leftmost(&parts.rhs)) else {
        return None;
    };
    variable.2.is_empty().then(|| (variable.1.as_str(), property.2.as_str(), *at))
}

/// The last key of `a.b.c` as the target of an assignment.
fn last_property(expression: &Expr) -> Option<(&str, Position)> {
    match expression {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => last_property(&parts.rhs),
        Expr::Property(property, at) => Some((property.2.as_str(), *at)),
        _ => None,
    }
}
