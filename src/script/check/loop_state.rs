//! What a script carries from round to round of its training loops in variables of its own. A checkpoint holds networks,
//! optimisers and vectors, and what the script hands to `run.keep`; a variable that changes in the loop is lost when a run
//! is resumed. So a run can be interrupted between two batches only if nothing is carried from batch to batch, and one that
//! is resumed says what may be missing.
//!
//! Found in the text: assignments, and calls of methods that change their object, to variables from outside the loop.

use crate::script::language::changes::{Change, Changes, only, variable};
use crate::script::language::purity::Purity;
use rhai::{AST, ASTNode, Expr, FnCallExpr, Map, Position, Stmt, StmtBlock};
use std::collections::BTreeSet;

/// A variable that changes from round to round.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    pub name: String,
    pub at: Position,
}

impl From<Change> for Carried {
    fn from(Change { name, at, .. }: Change) -> Self {
        Self { name, at }
    }
}

/// What is carried in loops over training batches, and in loops over epochs without what the script keeps. What `purity` does
/// not know to be pure changes its object.
pub fn carried(ast: &AST, purity: &Purity) -> (Vec<Carried>, Vec<Carried>) {
    let found = Changes::of(ast, purity);
    let (mut batches, mut epochs) = (vec![], vec![]);
    // Passes that are given away, rather than looped over where they are made, may be read in any way.
    let mut passes: Vec<Position> = vec![];
    let mut heads: Vec<Position> = vec![];
    ast.walk(&mut |path: &[ASTNode]| {
        match path.last() {
            Some(ASTNode::Expr(Expr::MethodCall(call, at))) if is_pass(call) => passes.push(*at),
            Some(ASTNode::Stmt(Stmt::For(parts, _))) => {
                let mut own: BTreeSet<String> = BTreeSet::from([parts.0.name.to_string()]);
                own.extend(parts.1.as_ref().map(|counter| counter.name.to_string()));
                match head(&parts.2.expr) {
                    Some((call, at)) if is_pass(call) => {
                        heads.push(at);
                        batches.extend(changes(&parts.2.body, own, &found));
                    }
                    Some((call, _)) if call.name == "epochs" => epochs.extend(changes(&parts.2.body, own, &found)),
                    _ => {}
                }
            }
            _ => {}
        }
        true
    });
    let loose = passes.into_iter().filter(|at| !heads.contains(at));
    batches.extend(loose.map(|at| Carried { name: "batches(...)".into(), at }));
    (batches, epochs)
}

/// What closures change outside themselves: they may be called from anywhere, and what they have captured lives on.
pub fn captured(ast: &AST, purity: &Purity) -> Vec<Carried> {
    let found = Changes::of(ast, purity);
    let mut names: BTreeSet<String> = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode]| {
        if let Some(ASTNode::Stmt(Stmt::Share(shared))) = path.last() {
            names.extend(shared.iter().map(|v| v.0.name.to_string()));
        }
        true
    });
    let mut changed: Vec<Carried> = vec![];
    for closure in ast.iter_fn_def().filter(|f| f.name.starts_with("anon$")) {
        let body = only(ast, &closure.name, None);
        body.walk(&mut |path: &[ASTNode]| {
            changed.extend(path.last().and_then(|node| found.at(node)).map(Carried::from));
            true
        });
    }
    changed.retain(|c| names.contains(&c.name));
    changed.sort_by_key(|c| (c.at.line(), c.at.position()));
    changed
}

/// The last method of `a.b.c(...)`.
fn head(expression: &Expr) -> Option<(&FnCallExpr, Position)> {
    match expression {
        Expr::Dot(parts, ..) => head(&parts.rhs),
        Expr::MethodCall(call, at) => Some((call, *at)),
        _ => None,
    }
}

/// Is it a pass over images in random order, as training takes it?
fn is_pass(call: &FnCallExpr) -> bool {
    call.name == "batches" && !call.args.iter().any(in_order)
}

/// `#{ shuffle: false, ... }`.
fn in_order(options: &Expr) -> bool {
    match options {
        Expr::Map(map, _) => {
            map.0.iter().any(|(key, value)| key.as_str() == "shuffle" && matches!(value, Expr::BoolConstant(false, _)))
        }
        Expr::DynamicConstant(value, _) => {
            let map = value.as_ref().clone().try_cast::<Map>();
            map.is_some_and(|map| map.get("shuffle").is_some_and(|v| v.as_bool() == Ok(false)))
        }
        _ => false,
    }
}

/// Changes in `body` to variables that are neither its own nor in `own`, without those that it keeps.
fn changes(body: &StmtBlock, mut own: BTreeSet<String>, changes: &Changes) -> Vec<Carried> {
    let (mut found, mut kept) = (vec![], BTreeSet::new());
    for statement in body {
        statement.walk(&mut vec![], &mut |path: &[ASTNode]| {
            found.extend(path.last().and_then(|node| changes.at(node)).map(Carried::from));
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => {
                    own.insert(variable.0.name.to_string());
                }
                Some(ASTNode::Stmt(Stmt::For(parts, _))) => {
                    own.insert(parts.0.name.to_string());
                    own.extend(parts.1.as_ref().map(|counter| counter.name.to_string()));
                }
                Some(ASTNode::Expr(Expr::Dot(parts, ..))) => {
                    if let Some((call, _)) = head(&parts.rhs)
                        && call.name == "keep"
                    {
                        kept.extend(call.args.iter().filter_map(variable).map(|kept| kept.name));
                    }
                }
                _ => {}
            }
            true
        });
    }
    found.retain(|change: &Carried| !own.contains(&change.name) && !kept.contains(&change.name));
    found.sort_by(|a, b| (&a.name, a.at.line()).cmp(&(&b.name, b.at.line())));
    found.dedup_by(|a, b| a.name == b.name);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the host has it: handles have methods of their own.
    fn purity() -> Purity {
        let mut engine = rhai::Engine::new();
        for name in ["batches", "epochs", "keep", "step"] {
            engine.register_fn(name, |_: i64| ());
        }
        Purity::new(&engine, BTreeSet::from(["grow".to_string()]))
    }

    fn names(script: &str) -> [String; 2] {
        let mut engine = rhai::Engine::new();
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        let ast = engine.compile(script).unwrap();
        let (batches, epochs) = carried(&ast, &purity());
        [batches, epochs].map(|list| list.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_changes_in_a_loop_and_comes_from_outside_is_found() {
        let quiet = "for epoch in run.epochs(2) { for batch in d.train.batches(8) { let a = 1; a += 1; o.step(a); } }";
        assert_eq!(names(quiet), ["", ""]);
        let sum = "let t = 0.0; for batch in d.train.batches(8, #{ pass: 1 }) { t += 1.0; m.x[0] = t; b.grow(); }";
        assert_eq!(names(sum), ["b m t", ""]);
        let in_order = "let t = 0; for batch in d.test.batches(8, #{ shuffle: false }) { t += 1; }";
        assert_eq!(names(in_order), ["", ""]);
        let rows = "let r = []; let k = 0; for e in run.epochs(2) { r.push(e); k = e; run.keep(\"k\", k); }";
        assert_eq!(names(rows), ["", "r"]);
        assert_eq!(names("let p = d.train.batches(8); for batch in p { }"), ["batches(...)", ""]);
        let deep = "for b in d.batches(8) { m.x.list.push(1); a[b.len()].x.push(2); t.x[3].y = 4; }";
        assert_eq!(names(deep), ["a m t", ""]);
        let engine = rhai::Engine::new();
        let closures = |script: &str| {
            let found = captured(&engine.compile(script).unwrap(), &purity());
            found.into_iter().map(|c| c.name).collect::<Vec<_>>()
        };
        assert_eq!(closures("let n = 0; let k = 1; let count = || { n += k; n };"), ["n"]);
        assert_eq!(closures("let l = []; let add = |x| l.push(x);"), ["l"]);
        assert_eq!(closures("let l = []; for e in run.epochs(2) { [1].for_each(|| l.push(1)); }"), ["l"]);
        assert!(closures("let n = 0; n = 1; let more = || n + 1; let own = || { let m = 0; m += 1; m };").is_empty());
        // What is not known to be pure changes, also by `this`, as a function, or through a closure in a variable.
        for (body, changed) in [
            ("seen.for_each(|i| this += 1);", "seen"),
            ("seen.sort_desc();", "seen"),
            ("name.make_upper();", "name"),
            ("bits.set_bit(3, true);", "bits"),
            ("seen.call(|| this += 1);", "seen"),
            ("seen.map(|| this += 1);", "seen"),
            ("let more = |i| this += 1; seen.filter(more);", "seen"),
            ("push(seen, 1);", "seen"),
            ("seen.what_rhai_adds_next();", "seen"),
            ("seen.len(); seen.map(|x| x + 1); seen.contains(3); print(seen); o.step(seen); m.get(\"a\");", ""),
            ("f.call(b);", ""),
        ] {
            let script = format!("let f = |x| x; for b in d.train.batches(8) {{ {body} }}");
            assert_eq!(names(&script), [changed, ""], "{body}");
        }
        let inside = "fn one(d) { let t = 0; for b in d.batches(8) { t += 1; } t }";
        assert_eq!(names(inside), ["t", ""]);
    }
}
