//! Parameters that a function changes for nothing: Rhai copies arrays, maps, texts and numbers into a function, so what
//! `fn remember(list, x) { list.push(x); }` does to `list` is gone when it ends.
//!
//! A function is read from its end to its start, so that at each change it is known whether anything looks at the parameter
//! later. What cannot be known is a look: after a `return` the function is taken to go on, and a method that we do not know
//! may be what the function is for.

use crate::base::text::tokens::code;
use crate::script::language::changes::{closure_name, leftmost, links, only};
use crate::script::language::purity::Purity;
use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt, StmtBlock};
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
            let mut reading = Reading {
                file: &file,
                parameter,
                semicolons,
                unclear: false,
                in_head: false,
                changes: BTreeMap::new(),
            };
            reading.statements(&body, function.body.end_position(), Later::default(), Value::Returned);
            if let Some(at) = reading.last_lost() {
                found.push(Lost { function: shown.clone(), parameter: parameter.to_string(), at });
            }
        }
    }
    found.sort_by_key(|lost| place(lost.at));
    found
}

fn place(at: Position) -> (usize, usize) {
    (at.line().unwrap_or(0), at.position().unwrap_or(0))
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

/// What is known of a file.
struct File<'a> {
    purity: &'a Purity,
    rules: BTreeSet<String>,
    closed: BTreeSet<(usize, usize)>,
}

/// What becomes of a statement's value.
#[derive(Clone, Copy, PartialEq)]
enum Value {
    Dropped,
    /// The function gives it, unless a semicolon says otherwise.
    Returned,
    Used,
}

/// What looks at the parameter later.
#[derive(Clone, Copy, Default)]
struct Later {
    anything: bool,
    /// The head of a loop asks how long it is, or its parts are: 0 for `list.len()`, 1 for `list[i].len()`.
    length: Option<usize>,
}

impl Later {
    /// Is a change seen of what stands so deep in it? `list[i] = x` leaves `list.len()` as it is.
    fn sees(self, depth: usize) -> bool {
        self.anything || self.length.is_some_and(|asked| asked >= depth)
    }

    fn or(self, other: Self) -> Self {
        Self { anything: self.anything || other.anything, length: self.length.max(other.length) }
    }
}

/// Reads a function from its end. Every step takes what looks at the parameter later, and gives what does before it.
struct Reading<'a> {
    file: &'a File<'a>,
    parameter: &'a str,
    /// Do semicolons count?
    semicolons: bool,
    /// Another variable has its name, or a closure shares it.
    unclear: bool,
    in_head: bool,
    /// Places of changes. Does anything see them?
    changes: BTreeMap<(usize, usize), (Position, bool)>,
}

impl Reading<'_> {
    fn last_lost(&self) -> Option<Position> {
        let lost = self.changes.values().rfind(|(_, seen)| !seen).filter(|_| !self.unclear);
        lost.map(|(at, _)| *at)
    }

    fn block(&mut self, block: &StmtBlock, later: Later, value: Value) -> Later {
        self.statements(block.statements(), block.end_position(), later, value)
    }

    fn statements(&mut self, statements: &[Stmt], end: Position, later: Later, value: Value) -> Later {
        let semicolon = self.semicolons && self.file.closed.contains(&place(end));
        let mut value = if value == Value::Returned && semicolon { Value::Dropped } else { value };
        statements.iter().rev().fold(later, |later, statement| {
            self.statement(statement, later, std::mem::replace(&mut value, Value::Dropped))
        })
    }

    fn statement(&mut self, statement: &Stmt, later: Later, value: Value) -> Later {
        match statement {
            Stmt::Expr(expr) => self.effect(expr, later, value),
            Stmt::FnCall(call, _) => self.call(call, later, value),
            Stmt::Assignment(parts) => self.assignment(&parts.1.lhs, &parts.1.rhs, later),
            Stmt::Block(block) => self.block(block, later, value),
            Stmt::If(flow, _) => {
                let (yes, no) = (self.block(&flow.body, later, value), self.block(&flow.branch, later, value));
                self.expr(&flow.expr, yes.or(no))
            }
            Stmt::Switch(parts, _) => {
                let cases = parts.1.expressions.iter().fold(later, |all, case| {
                    let chosen = self.effect(&case.rhs, later, value);
                    all.or(self.expr(&case.lhs, chosen))
                });
                self.expr(&parts.0, cases)
            }
            Stmt::TryCatch(flow, _) => {
                self.unclear |= self.is_parameter(&flow.expr);
                let caught = self.block(&flow.branch, later, value);
                self.block(&flow.body, caught, value)
            }
            // Twice around: what comes later in a loop is what stands before it, too.
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => {
                let last = self.head(&flow.expr, later);
                let once = self.block(&flow.body, last, Value::Dropped);
                let again = self.head(&flow.expr, once);
                self.block(&flow.body, again, Value::Dropped)
            }
            Stmt::For(parts, _) => {
                let (variable, counter, flow) = &**parts;
                let mut names = [Some(variable), counter.as_ref()].into_iter().flatten();
                self.unclear |= names.any(|name| name.name == self.parameter);
                let once = self.block(&flow.body, later, Value::Dropped);
                let again = self.block(&flow.body, once, Value::Dropped);
                self.head(&flow.expr, again)
            }
            Stmt::Var(variable, ..) => {
                self.unclear |= variable.0.name == self.parameter;
                self.expr(&variable.1, later)
            }
            Stmt::Return(Some(expr), ..) | Stmt::BreakLoop(Some(expr), ..) => self.expr(expr, later),
            Stmt::Import(parts, _) => self.expr(&parts.0, later),
            Stmt::Share(names) => {
                self.unclear |= names.iter().any(|shared| shared.0.name == self.parameter);
                later
            }
            _ => later,
        }
    }

    /// What a loop runs over, or its condition.
    fn head(&mut self, expr: &Expr, later: Later) -> Later {
        let around = std::mem::replace(&mut self.in_head, true);
        let before = self.expr(expr, later);
        self.in_head = around;
        before
    }

    fn assignment(&mut self, target: &Expr, value: &Expr, later: Later) -> Later {
        if !self.is_parameter(leftmost(target)) {
            let later = self.expr(value, later);
            return self.expr(target, later);
        }
        match target {
            // A value that is let go, to have its memory back.
            Expr::Variable(..) if matches!(value, Expr::Unit(_)) => later,
            Expr::Variable(..) => self.change(target, later.sees(0), &[value], None, later),
            Expr::Index(parts, ..) | Expr::Dot(parts, ..) => {
                self.change(leftmost(target), later.sees(links(target).len()), &[value, &parts.rhs], None, later)
            }
            _ => self.expr(target, later),
        }
    }

    /// A change of `variable`, by means of `parts`. What they read of it serves the change alone, if they only compute.
    fn change(
        &mut self,
        variable: &Expr,
        seen: bool,
        parts: &[&Expr],
        own: Option<&FnCallExpr>,
        later: Later,
    ) -> Later {
        let at = variable.position();
        self.changes.entry(place(at)).or_insert((at, false)).1 |= seen;
        let loud = parts.iter().filter(|part| !self.file.purity.computes(part, own));
        loud.fold(later, |later, part| self.expr(part, later))
    }

    /// An expression that stands as a statement.
    fn effect(&mut self, expr: &Expr, later: Later, value: Value) -> Later {
        match expr {
            Expr::Stmt(block) => self.block(block, later, value),
            Expr::FnCall(call, _) => self.call(call, later, value),
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) if self.is_parameter(&parts.lhs) => match method(expr) {
                Some(call) if self.changes_by(call, value) => {
                    self.change(&parts.lhs, later.sees(0), &[&parts.rhs], Some(call), later)
                }
                _ => self.expr(expr, later),
            },
            _ => self.expr(expr, later),
        }
    }

    /// `push(list, x)`
    fn call(&mut self, call: &FnCallExpr, later: Later, value: Value) -> Later {
        if let Some((first, rest)) = call.args.split_first()
            && self.is_parameter(first)
            && call.namespace.is_empty()
            && self.changes_by(call, value)
            && self.file.purity.may_change_argument(&call.name)
        {
            let rest: Vec<&Expr> = rest.iter().rev().collect();
            return self.change(first, later.sees(0), &rest, None, later);
        }
        self.arguments(call, later)
    }

    /// Is changing its object all that `call` is for?
    fn changes_by(&self, call: &FnCallExpr, value: Value) -> bool {
        let purity = self.file.purity;
        if call.name == "for_each" {
            let rule = call.args.last().and_then(closure_name);
            return purity.only_changes(&call.name) && rule.is_some_and(|rule| self.file.rules.contains(&rule));
        }
        purity.only_changes(&call.name) || value == Value::Dropped && purity.takes_out(&call.name)
    }

    fn arguments(&mut self, call: &FnCallExpr, later: Later) -> Later {
        // `f!(...)` sees all variables, and so does `eval`.
        let sees_all = call.capture_parent_scope || call.name == "eval";
        let later = Later { anything: later.anything || sees_all, ..later };
        self.several(&call.args, later)
    }

    fn several(&mut self, parts: &[Expr], later: Later) -> Later {
        parts.iter().rev().fold(later, |later, part| self.expr(part, later))
    }

    /// An expression whose value is used.
    fn expr(&mut self, expr: &Expr, later: Later) -> Later {
        if self.in_head
            && let Some(asked) = self.asks_length(expr)
        {
            return Later { length: later.length.max(Some(asked)), ..later };
        }
        match expr {
            Expr::Variable(..) => Later { anything: later.anything || self.is_parameter(expr), ..later },
            Expr::Stmt(block) => self.block(block, later, Value::Used),
            Expr::FnCall(call, _) | Expr::MethodCall(call, _) => self.arguments(call, later),
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
                let later = self.expr(&parts.rhs, later);
                self.expr(&parts.lhs, later)
            }
            Expr::InterpolatedString(parts, _) | Expr::Array(parts, _) => self.several(parts, later),
            Expr::And(parts, _) | Expr::Or(parts, _) | Expr::Coalesce(parts, _) => self.several(parts, later),
            Expr::Map(parts, _) => parts.0.iter().rev().fold(later, |later, part| self.expr(&part.1, later)),
            Expr::Custom(custom, _) => self.several(&custom.inputs, later),
            _ => later,
        }
    }

    fn is_parameter(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Variable(variable, ..) if variable.1 == self.parameter && variable.2.is_empty())
    }

    /// How deep `list.len()`, `len(list)`, `list[i].len` looks, if it asks for nothing else of the parameter.
    fn asks_length(&self, expr: &Expr) -> Option<usize> {
        let asks = |name: &str| name == "len" || name == "is_empty";
        match expr {
            Expr::FnCall(call, _)
                if asks(&call.name) && call.args.first().is_some_and(|list| self.is_parameter(list)) =>
            {
                Some(0)
            }
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) if self.is_parameter(&parts.lhs) => {
                let links = links(expr);
                let (last, way) = links.split_last()?;
                let length = match last {
                    Expr::MethodCall(call, _) => asks(&call.name),
                    Expr::Property(name, _) => asks(&name.2),
                    _ => false,
                };
                (length && way.iter().all(|link| matches!(link, Expr::Variable(..) if !self.is_parameter(link))))
                    .then_some(way.len())
            }
            _ => None,
        }
    }
}

/// The method at the end of `a.b[i].method(...)`, if no other is called on the way to it.
fn method(chain: &Expr) -> Option<&FnCallExpr> {
    let links = links(chain);
    match links.split_last()? {
        (Expr::MethodCall(call, _), way) if !way.iter().any(|link| matches!(link, Expr::MethodCall(..))) => Some(call),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(script: &str) -> Vec<String> {
        let mut engine = rhai::Engine::new();
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        engine.set_max_expr_depths(0, 0);
        let ast = engine.compile(script).unwrap();
        let purity = Purity::new(&engine, ast.iter_functions().map(|f| f.name.to_string()).collect());
        let name = |lost: Lost| format!("{}: {}", lost.function.unwrap_or("closure".into()), lost.parameter);
        lost(&ast, &purity, script).into_iter().map(name).collect()
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
            // What the new value is made of is read before the change.
            ("fn upd(best, v) { best = max(best, v); }", "upd: best"),
            ("fn f(lr) { lr = lr * 0.5; }", "f: lr"),
            ("fn f(a) { a += a; }", "f: a"),
            ("fn f(m, k) { m[m.len()] = k; }", "f: m"),
            ("fn f(l) { l = g(l); } fn g(l) { l + [1] }", "f: l"),
            // What a loop reads of it for the change alone.
            ("fn scale(l, k) { for i in 0..l.len() { l[i] *= k; } }", "scale: l"),
            ("fn scale(l, k) { let i = 0; while i < l.len() { l[i] *= k; i += 1; } }", "scale: l"),
            ("fn scale(l, k) { let i = 0; do { l[i] *= k; i += 1; } until i == len(l); }", "scale: l"),
            ("fn scale(l, k) { for i in 0..3 { l[i] = l[i] * k; } }", "scale: l"),
            ("fn scale(m, k) { for r in 0..m.len() { for c in 0..m[r].len() { m[r][c] /= k; } } }", "scale: m"),
            ("fn scale(l, k) { for e in 0..3 { for i in 0..l.len() { l[i] *= k; } } }", "scale: l"),
            ("fn scale(l, k) { l.for_each(|| this *= k); }", "scale: l"),
            ("fn fill(l) { for i in 0..3 { l.push(l.len()); } }", "fill: l"),
            ("fn f(n) { loop { n = max(n - 1, 0); if done() { break; } } } fn done() { true }", "f: n"),
            // What takes something out, and does not want it.
            ("fn drop_last(l) { l.pop(); }", "drop_last: l"),
            ("fn drop_last(l) {\n    // One is too many.\n    l.pop(); // gone\n}\ndrop_last([1]);", "drop_last: l"),
            ("fn drop_last(l) { l.pop(); } fn main() { drop_last([1]); }", "drop_last: l"),
            ("fn cut(l) { l.shift(); }", "cut: l"),
            ("fn drop_key(m) { m.remove(\"a\"); }", "drop_key: m"),
            ("fn keep_big(l) { l.retain(|x| x > 1); }", "keep_big: l"),
            ("fn one(l) { l.splice(0..1, []); }", "one: l"),
            ("fn d(l) { l.drain(0..1); }", "d: l"),
            ("fn f(m) { m.list[0].pop(); 1 }", "f: m"),
            ("fn f(l) { pop(l); print(`${1}`); }", "f: l"),
            ("fn f(l) { if l.len() > 3 { l.pop(); } }", "f: l"),
            ("fn f(l) { if l.len() > 3 { l.pop() }; }", "f: l"),
            ("fn f(l) { for i in 0..2 { l.shift() } }", "f: l"),
            ("fn f(l, a) { switch a { 1 => { l.pop(); } _ => print(l) } }", "f: l"),
            ("fn f(l) { try { l.pop(); } catch (e) { print(e); } }", "f: l"),
            ("fn f(n, l) { if n > 0 { n = 0; } else { print(n); } l }", "f: n"),
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
            // Used later.
            "fn f(best, v) { best = max(best, v); best }",
            "fn f(x) { x = clamp(x); print(x); } fn clamp(x) { max(0, min(x, 1)) }",
            "fn f(x) { if x < 0 { return; } x -= 1; print(`${x}`); }",
            "fn f(x, l) { if x < 0 { x = 0; return x; } l.push(x); l }",
            "fn f(t) { for i in 0..3 { t += `${i} `; } t }",
            "fn f(t) { t.trim(); t.make_upper(); #{ text: t } }",
            "fn f(t, other) { t.trim(); other == t }",
            "fn f(l) { l.sort(); l[0] }",
            "fn f(m) { m.count += 1; m.count }",
            "fn f(m) { m.remove(\"a\"); m.keys() }",
            "fn f(m, k) { m[k] = 1; m.len() }",
            "fn f(l) { let last = l.pop(); last * 2 }",
            "fn f(o) { o.lr = 0.1; train(o) } fn train(o) { o.lr }",
            "fn f(a, b) { while b != 0 { let c = a % b; a = b; b = c; } a }",
            "fn f(x) { x += 1; let h = || x; h.call() }",
            "fn f(x) { let h = || x; x += 1; h.call() }",
            "fn counter(n) { || { n += 1; n } }",
            "fn f(x) { x += 1; eval(\"x\") }",
            // Used in another round.
            "fn f(l) { while l.len() > 3 { l.pop(); } }",
            "fn f(l) { while !l.is_empty() { print(l.pop()); } }",
            "fn f(l) { let i = 0; while l[i] > 0 { l[i] -= 1; } }",
            "fn f(l) { let i = 0; while l[i].len() < 3 { l[i] = grow(); } } fn grow() { [1, 2, 3] }",
            "fn f(l) { for i in 0..3 { for k in 0..l.len() { print(k); } l.push(i); } }",
            "fn f(n) { do { n /= 2; print(\"half\"); } while n > 1; }",
            "fn f(n) { loop { if n == 0 { break; } n -= 1; } }",
            "fn f(lr) { for epoch in 0..3 { train(lr); lr *= 0.5; } } fn train(lr) { print(lr) }",
            "fn f(s, o) { for i in 0..3 { s = o.step(s); } }",
            "fn f(l) { for i in 0..3 { for k in l { print(k); } for k in 0..3 { l[k] += i; } } }",
            "fn f(l) { for i in 0..3 { l = l.filter(|x| { print(x); true }); } }",
            "fn f(l) { loop { l.push(1); if l.len() > 3 { break l; } } }",
            // Branches.
            "fn f(x) { try { x += 1; risky(x); } catch (e) { throw e; } } fn risky(x) { throw x }",
            "fn f(x) { try { x += 1; throw 1; } catch { print(x); } }",
            "fn f(e) { try { e += 1; throw 1; } catch (e) { print(e); } }",
            "fn f(x, k) { switch k { \"up\" => { x += 1; } \"down\" => x -= 1, _ => () } x }",
            "fn f(l, k) { switch k { 1 => l.pop(), _ => l.shift() } }",
            "fn f(l) { if l.len() > 3 { l.pop() } else { () } }",
            "fn f(l) { let x = if l.len() > 3 { l.pop(); } else { 0 }; x }",
            // Its value is what it is for.
            "fn int.f(l) { l.pop() } fn f(l) { print(l) }",
            "fn take(l) { l.pop(); } let x = take([1]);",
            "fn take(l) { l.pop(); } [[1], [2]].map(|l| take(l));",
            "let f = |l| { l.pop(); };",
            "fn show(l) { l.for_each(|| print(this)); }",
            "fn f(l, i) { l[i].push(3); l }",
            "fn f(l, order) { l[order.pop()] }",
            "fn f(l, order) { l[order.pop()].step(); }",
            // Handles of the host, and what may be one.
            "fn f(net, t, opt) { opt.step(1); t.foo(); net.layers[0].freeze(); net.layers().clear(); }",
            "fn f(big) { print(big); big = (); print(1); }",
        ] {
            assert!(found(script).is_empty(), "{script}: {:?}", found(script));
        }
    }

    #[test]
    fn without_the_text_what_ends_a_function_may_be_its_value() {
        let engine = rhai::Engine::new();
        for (script, count) in
            [("fn f(l) { l.pop(); }", 0), ("fn f(l) { l.pop(); 1 }", 1), ("fn f(l) { l.push(1); }", 1)]
        {
            let ast = engine.compile(script).unwrap();
            assert_eq!(
                lost(&ast, &Purity::new(&engine, BTreeSet::from(["f".to_string()])), "").len(),
                count,
                "{script}"
            );
        }
    }
}
