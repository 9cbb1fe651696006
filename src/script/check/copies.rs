//! Parameters that a function changes for nothing: Rhai copies arrays, maps, texts and numbers into a function, so what
//! `fn remember(list, x) { list.push(x); }` does to `list` is gone when it ends.
//!
//! A function is read from its end to its start, so that at each change it is known whether anything looks at the parameter
//! later. What cannot be known is a look: after a `return` the function is taken to go on, and a method that we do not know
//! may be what the function is for.

mod reading;

use crate::base::text::tokens::code;
use crate::script::language::changes::{closure_name, leftmost, only};
use crate::script::language::purity::Purity;
use reading::{File, last_lost, place};
use rhai::{AST, ASTNode, Expr, Position, Stmt};
use std::collections::{BTreeMap, BTreeSet};

/// A change that is lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// The function's name; nothing for a closure.
    pub function: Option<String>,
    pub parameter: String,
    pub at: Position,
}

impl Lost {
    /// What to tell the user.
    pub fn message(&self) -> String {
        let Self { function, parameter, .. } = self;
        match function {
            Some(name) => format!(
                "`{name}` changes `{parameter}`, its own copy, and does not use or return it afterwards, so the change is lost; \
                 end the function with `{parameter}` and take what it returns: x = {name}(x, ...)"
            ),
            None => format!(
                "the closure changes `{parameter}`, its own copy, and does not use or return it afterwards, so the change is \
                 lost; end the closure with `{parameter}`, or change a variable from outside, which a closure captures"
            ),
        }
    }
}

/// All that functions and closures of a file, whose text is `text`, change for nothing. The text tells `{ l.pop() }`
/// from `{ l.pop(); }`: for Rhai both give the element, but who writes the semicolon wants the shorter list.
pub fn lost(ast: &AST, purity: &Purity, text: &str) -> Vec<Lost> {
    let file = File { purity, rules: rules(ast, purity), closed: closed(text) };
    let (captured, valued) = (captured(ast), valued(ast, &file.closed));
    let mut found = vec![];
    for function in ast.iter_fn_def() {
        let name = function.name.as_str();
        let same = ast.iter_fn_def().filter(|f| f.name == function.name && f.params.len() == function.params.len());
        if same.count() > 1 {
            // Methods of several types, which `statements` cannot tell apart.
            continue;
        }
        let shown = (!name.starts_with("anon$")).then(|| name.to_string());
        // What a closure gives is mostly asked for by who calls it.
        let semicolons = shown.is_some() && !valued.contains(name);
        let body = statements(ast, name, function.params.len());
        let own = |parameter: &&str| !captured.get(name).is_some_and(|names| names.contains(*parameter));
        for parameter in function.params.iter().map(|parameter| parameter.as_str()).filter(own) {
            let end = function.body.end_position();
            if let Some(at) = last_lost(&file, parameter, semicolons, &body, end) {
                found.push(Lost { function: shown.clone(), parameter: parameter.to_string(), at });
            }
        }
    }
    found.sort_by_key(|lost| place(lost.at));
    found
}

/// The statements of a function.
fn statements(ast: &AST, name: &str, arity: usize) -> Vec<Stmt> {
    let mut found = vec![];
    only(ast, name, Some(arity)).walk(&mut |path: &[ASTNode]| {
        if let [ASTNode::Stmt(statement)] = path {
            found.push(Stmt::clone(statement));
        }
        true
    });
    found
}

/// The variables that each closure captures: they are shared with it, not copied.
fn captured(ast: &AST) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    ast.walk(&mut |path: &[ASTNode]| {
        if let Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = path.last()
            && call.name == "curry"
            && let Some(name) = call.args.first().and_then(closure_name)
        {
            let names = call.args.iter().skip(1).filter_map(|argument| match argument {
                Expr::Variable(variable, ..) => Some(variable.1.to_string()),
                _ => None,
            });
            found.entry(name).or_default().extend(names);
        }
        true
    });
    found
}

/// Functions whose value the file uses somewhere, or that it hands on.
fn valued(ast: &AST, closed: &BTreeSet<(usize, usize)>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for function in ast.iter_fn_def().filter(|f| !closed.contains(&place(f.body.end_position()))) {
        // What `|list| take(list)` gives is what `take` gives.
        let last = statements(ast, &function.name, function.params.len()).pop();
        found.extend(last.as_ref().and_then(called));
    }
    ast.walk(&mut |path: &[ASTNode]| {
        let by_itself = matches!(path.split_last(), Some((_, [.., ASTNode::Stmt(Stmt::Expr(_))])));
        match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _))) if !by_itself => found.insert(call.name.to_string()),
            Some(ASTNode::Expr(Expr::StringConstant(name, _))) => found.insert(name.to_string()),
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) => found.insert(variable.1.to_string()),
            _ => false,
        };
        true
    });
    found
}

/// The function that a statement calls, if it does no more.
fn called(statement: &Stmt) -> Option<String> {
    match statement {
        Stmt::FnCall(call, _) => Some(call.name.to_string()),
        Stmt::Expr(expr) => match &**expr {
            Expr::FnCall(call, _) => Some(call.name.to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Closures that do nothing but assign to `this`.
fn rules(ast: &AST, purity: &Purity) -> BTreeSet<String> {
    let closures = ast.iter_fn_def().filter(|f| f.name.starts_with("anon$"));
    let only_assigns = |name: &str, arity: usize| match &statements(ast, name, arity)[..] {
        [Stmt::Assignment(parts)] => {
            matches!(leftmost(&parts.1.lhs), Expr::ThisPtr(_)) && purity.computes(&parts.1.rhs, None)
        }
        _ => false,
    };
    closures.filter(|f| only_assigns(&f.name, f.params.len())).map(|f| f.name.to_string()).collect()
}

/// Places of the `}` that follow a semicolon.
fn closed(text: &str) -> BTreeSet<(usize, usize)> {
    let code = code(text);
    let ends = code.windows(2).filter(|pair| pair[0].text == ";" && pair[1].text == "}");
    ends.map(|pair| (pair[1].line, pair[1].column)).collect()
}

#[cfg(test)]
mod tests;
