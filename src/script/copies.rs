//! Parameters that a function changes for nothing: Rhai copies arrays, maps, texts and numbers into a function, so what
//! `fn remember(list, x) { list.push(x); }` does to `list` is gone when it ends.

use super::changes::{Changes, closure_name, only};
use super::purity::Purity;
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

/// What happens to a parameter, in the order of the text.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    Change(Position),
    Use,
}

/// All that functions and closures of a file change for nothing.
pub fn lost(ast: &AST, purity: &Purity) -> Vec<Lost> {
    let changes = Changes::of(ast, purity);
    let captured = captured(ast);
    let mut found = vec![];
    for function in ast.iter_fn_def() {
        let (name, arity) = (function.name.as_str(), function.params.len());
        let body = only(ast, name, Some(arity));
        let own: BTreeSet<&str> = function
            .params
            .iter()
            .map(|parameter| parameter.as_str())
            .filter(|parameter| !captured.get(name).is_some_and(|names| names.contains(*parameter)))
            .collect();
        let shown = (!name.starts_with("anon$")).then(|| name.to_string());
        for parameter in own {
            if let Some(at) = last_change_is_lost(&body, parameter, &changes) {
                found.push(Lost { function: shown.clone(), parameter: parameter.to_string(), at });
            }
        }
    }
    found.sort_by_key(|lost| (lost.at.line(), lost.at.position()));
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

/// Where `parameter` is changed last, if nothing looks at it after that.
fn last_change_is_lost(body: &AST, parameter: &str, changes: &Changes) -> Option<Position> {
    let mut events: Vec<(Event, Option<usize>)> = vec![];
    let mut loops: Vec<*const Stmt> = vec![];
    let mut unclear = false;
    body.walk(&mut |path: &[ASTNode]| {
        let Some(node) = path.last() else { return true };
        // The outermost loop: what stands in it may run after everything else in it.
        let around = path.iter().find_map(|node| match node {
            ASTNode::Stmt(loop_ @ (Stmt::While(..) | Stmt::Do(..) | Stmt::For(..))) => Some(std::ptr::from_ref(*loop_)),
            _ => None,
        });
        let around = around.map(|this| {
            let known = loops.iter().position(|other| *other == this);
            known.unwrap_or_else(|| {
                loops.push(this);
                loops.len() - 1
            })
        });
        match node {
            // Another variable of that name.
            ASTNode::Stmt(Stmt::Var(variable, ..)) if variable.0.name == parameter => unclear = true,
            ASTNode::Stmt(Stmt::For(parts, _)) if parts.0.name == parameter => unclear = true,
            _ => {}
        }
        if let Some(change) = changes.at(node).filter(|change| change.name == parameter) {
            // What gives a value too may be what the function is for.
            events.push((if change.alone { Event::Change(change.at) } else { Event::Use }, around));
        } else if let ASTNode::Expr(Expr::Variable(variable, ..)) = node
            && variable.1 == parameter
            && !is_changed_part(path, changes, parameter)
        {
            events.push((Event::Use, around));
        }
        true
    });
    if unclear {
        return None;
    }
    let last = events.iter().rposition(|(event, _)| matches!(event, Event::Change(_)))?;
    let (Event::Change(at), around) = events[last] else { return None };
    let used_later = events[last + 1..].iter().any(|(event, _)| *event == Event::Use);
    let used_in_loop = around.is_some() && events.iter().any(|(event, other)| *event == Event::Use && *other == around);
    (!used_later && !used_in_loop).then_some(at)
}

/// Is the variable at the end of `path` the target of a change, which has been noted already?
fn is_changed_part(path: &[ASTNode], changes: &Changes, parameter: &str) -> bool {
    let Some((ASTNode::Expr(this), above)) = path.split_last() else { return false };
    above.iter().rev().take(4).any(|node| {
        let target = match node {
            ASTNode::Stmt(Stmt::Assignment(assignment)) => Some(super::changes::leftmost(&assignment.1.lhs)),
            ASTNode::Expr(Expr::Dot(parts, ..) | Expr::Index(parts, ..)) => Some(super::changes::leftmost(&parts.lhs)),
            ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => call.args.first(),
            _ => None,
        };
        target.is_some_and(|target| std::ptr::eq(target, *this))
            && changes.at(node).is_some_and(|change| change.name == parameter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(script: &str) -> Vec<String> {
        let mut engine = rhai::Engine::new();
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        let ast = engine.compile(script).unwrap();
        let purity = Purity::new(&engine, ast.iter_functions().map(|f| f.name.to_string()).collect());
        let name = |lost: Lost| format!("{}: {}", lost.function.unwrap_or("closure".into()), lost.parameter);
        lost(&ast, &purity).into_iter().map(name).collect()
    }

    #[test]
    fn what_is_changed_for_nothing_is_found() {
        for (script, what) in [
            ("fn remember(l, v) { l.push(v); }", "remember: l"),
            ("fn remember(l, v) { l.push(v) }", "remember: l"),
            ("fn f(m) { m.best = 3; }", "f: m"),
            ("fn f(m) { m.list[0].x += 1; 5 }", "f: m"),
            ("fn f(n) { n += 1; }", "f: n"),
            ("fn f(l) { push(l, 1); }", "f: l"),
            ("fn f(l) { let n = l.len(); for i in 0..n { l[i] = 0; } }", "f: l"),
            ("fn f(t) { t.make_upper(); }", "f: t"),
            ("[[1]].for_each(|l| l.push(2));", "closure: l"),
            ("fn f(l) { print(l); l.sort(); }", "f: l"),
        ] {
            assert_eq!(found(script), [what], "{script}");
        }
    }

    #[test]
    fn what_is_used_or_shared_is_not() {
        for script in [
            "fn f(l, v) { l.push(v); l }",
            "fn f(l, v) { l.push(v); return l; }",
            "fn f(o) { let n = o.get(\"a\"); o.remove(\"a\"); o.b = [n]; g(o) } fn g(o) { o.len() }",
            "fn f(l) { l.pop() }",
            "fn f(n) { while n > 0 { n -= 1; } }",
            "fn f(l) { for i in 0..3 { print(l.len()); l.push(i); } }",
            "fn f() { this.push(1); }",
            "let l = []; let f = |x| l.push(x); f.call(1);",
            "fn f(o) { o.step(1); }",
            "fn f(l) { let g = |x| l.push(x); g.call(1); l }",
            "fn f(x) { let x = 3; x += 1; x }",
            "fn f(x) { if x > 3 { x = 3; } x * 2 }",
        ] {
            assert!(found(script).is_empty(), "{script}: {:?}", found(script));
        }
    }
}
