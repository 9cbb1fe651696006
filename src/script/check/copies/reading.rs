//! A function read from its end: what looks at a parameter after each statement, and which changes nothing looks at.

use crate::script::language::changes::{closure_name, leftmost, links};
use crate::script::language::purity::Purity;
use rhai::{Expr, FnCallExpr, Position, Stmt, StmtBlock};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a file.
pub struct File<'a> {
    pub purity: &'a Purity,
    pub rules: BTreeSet<String>,
    pub closed: BTreeSet<(usize, usize)>,
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

/// Where the last change of `parameter` stands that nothing looks at, in a function of these statements. `semicolons`: whether a
/// semicolon says that a value is not wanted.
pub fn last_lost(file: &File, parameter: &str, semicolons: bool, body: &[Stmt], end: Position) -> Option<Position> {
    let mut reading = Reading { file, parameter, semicolons, unclear: false, in_head: false, changes: BTreeMap::new() };
    reading.statements(body, end, Later::default(), Value::Returned);
    reading.last_lost()
}

/// Line and column, to sort by.
pub fn place(at: Position) -> (usize, usize) {
    (at.line().unwrap_or(0), at.position().unwrap_or(0))
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
