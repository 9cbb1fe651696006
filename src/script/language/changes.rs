//! Where a script changes a variable: by an assignment, by a function that is not known to leave it as it was, or by a closure
//! that changes `this`.

use super::purity::Purity;
use rhai::{AST, ASTFlags, ASTNode, Dynamic, Expr, FnCallExpr, FnPtr, Position, Stmt};
use std::collections::BTreeSet;

/// A variable that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub name: String,
    pub at: Position,
}

/// The functions of a file that are called `name`, with that many parameters if it is said. Rhai's own filter of a copy keeps all
/// where the copy has none yet.
pub fn only(ast: &AST, name: &str, parameters: Option<usize>) -> AST {
    let mut own = ast.clone_functions_only();
    own.retain_functions(|_, _, other, count| other == name && parameters.is_none_or(|wanted| wanted == count));
    own
}

/// What has to be known of a file to tell what changes.
pub struct Changes<'a> {
    purity: &'a Purity,
    /// Its closures that change `this`.
    through_this: BTreeSet<String>,
    /// Its variables that were declared as a closure: calling them changes what they captured, not themselves.
    closures: BTreeSet<String>,
}

impl<'a> Changes<'a> {
    /// Of the file `ast`.
    pub fn of(ast: &AST, purity: &'a Purity) -> Self {
        let mut found = Self { purity, through_this: BTreeSet::new(), closures: BTreeSet::new() };
        for closure in ast.iter_fn_def().filter(|f| f.name.starts_with("anon$")) {
            let name = closure.name.as_str();
            let body = only(ast, name, None);
            let mut changes = false;
            body.walk(&mut |path: &[ASTNode]| {
                changes |= path.last().is_some_and(|node| changes_this(node, purity));
                !changes
            });
            if changes {
                found.through_this.insert(name.to_string());
            }
        }
        ast.walk(&mut |path: &[ASTNode]| {
            if let Some(ASTNode::Stmt(Stmt::Var(variable, ..))) = path.last()
                && (closure_name(&variable.1).is_some()
                    || matches!(&variable.1, Expr::FnCall(call, _) if call.name == "Fn"))
            {
                found.closures.insert(variable.0.name.to_string());
            }
            true
        });
        found
    }

    /// The variable that `node` changes.
    pub fn at(&self, node: &ASTNode) -> Option<Change> {
        match node {
            ASTNode::Stmt(Stmt::Assignment(assignment)) => variable(&assignment.1.lhs),
            ASTNode::Expr(Expr::Dot(parts, ..) | Expr::Index(parts, ..)) => {
                let object = leftmost(&parts.lhs);
                self.in_chain(&parts.rhs, object).then(|| variable(object)).flatten()
            }
            ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
                let changes = call.namespace.is_empty() && self.purity.may_change_argument(call.name.as_str());
                // By an operator nothing changes but by assignment.
                let word = call.name.starts_with(|c: char| c.is_alphabetic() || c == '_');
                let first = call.args.first().filter(|_| changes && word)?;
                variable(first)
            }
            _ => None,
        }
    }

    /// Does one of the methods in `b.c(...)[i].d(...)` change `object`?
    fn in_chain(&self, chain: &Expr, object: &Expr) -> bool {
        match chain {
            Expr::MethodCall(call, _) => self.method(call, object),
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
                self.in_chain(&parts.lhs, object) || self.in_chain(&parts.rhs, object)
            }
            _ => false,
        }
    }

    fn method(&self, call: &FnCallExpr, object: &Expr) -> bool {
        let given = |expr: &Expr| closure_name(expr).is_some_and(|name| self.through_this.contains(&name));
        // A rule that comes in a variable may be any closure of the file.
        let unknown = |expr: &Expr| matches!(expr, Expr::Variable(v, ..) if self.closures.contains(v.1.as_str()));
        let through_this =
            call.args.iter().any(given) || !self.through_this.is_empty() && call.args.iter().any(unknown);
        if call.name == "call" {
            let calls_a_closure = matches!(object, Expr::Variable(v, ..) if self.closures.contains(v.1.as_str()));
            // `x.call(|| this += 1)` calls the closure with `x` as `this`.
            return through_this || !calls_a_closure;
        }
        through_this || self.purity.may_change(call.name.as_str())
    }
}

fn changes_this(node: &ASTNode, purity: &Purity) -> bool {
    let is_this = |expr: &Expr| matches!(leftmost(expr), Expr::ThisPtr(..));
    match node {
        ASTNode::Stmt(Stmt::Assignment(assignment)) => is_this(&assignment.1.lhs),
        ASTNode::Expr(Expr::Dot(parts, ..) | Expr::Index(parts, ..)) => {
            is_this(&parts.lhs) && any_change(&parts.rhs, purity)
        }
        ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
            purity.may_change_argument(call.name.as_str()) && call.args.first().is_some_and(is_this)
        }
        _ => false,
    }
}

fn any_change(chain: &Expr, purity: &Purity) -> bool {
    match chain {
        Expr::MethodCall(call, _) => purity.may_change(call.name.as_str()),
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
            any_change(&parts.lhs, purity) || any_change(&parts.rhs, purity)
        }
        _ => false,
    }
}

/// What Rhai calls the closure that an expression is, with or without captured variables.
pub fn closure_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::DynamicConstant(value, _) => {
            let pointer = Dynamic::clone(value).try_cast::<FnPtr>()?;
            Some(pointer.fn_name().to_string()).filter(|name| name.starts_with("anon$"))
        }
        Expr::FnCall(call, _) if call.name == "curry" => closure_name(call.args.first()?),
        Expr::Stmt(block) => match block.statements().last()? {
            Stmt::Expr(expr) => closure_name(expr),
            Stmt::FnCall(call, _) if call.name == "curry" => closure_name(call.args.first()?),
            _ => None,
        },
        _ => None,
    }
}

/// The variable of `a`, `a.b`, `a[i].c`, if it is none of a module's.
pub fn variable(expression: &Expr) -> Option<Change> {
    match leftmost(expression) {
        Expr::Variable(variable, _, at) if variable.2.is_empty() => {
            Some(Change { name: variable.1.to_string(), at: *at })
        }
        _ => None,
    }
}

pub fn leftmost(expression: &Expr) -> &Expr {
    match expression {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => leftmost(&parts.lhs),
        other => other,
    }
}

/// What follows `a` in `a.b[i].c(...)`: properties, indices, calls.
pub fn links(chain: &Expr) -> Vec<&Expr> {
    let (Expr::Dot(parts, flags, _) | Expr::Index(parts, flags, _)) = chain else { return vec![] };
    match &parts.rhs {
        // With the flag the chain is over: the index of `a[b.c()]`.
        rest @ (Expr::Dot(next, ..) | Expr::Index(next, ..)) if !flags.contains(ASTFlags::BREAK) => {
            [&next.lhs].into_iter().chain(links(rest)).collect()
        }
        last => vec![last],
    }
}
