//! Which functions leave their first argument, the object before the dot, as it was
//!
//! ```text
//! what the host registers     handles: what they stand for is in checkpoints, the handle stays
//! Rhai's own                  those that are listed here
//! everything else             may change it: a function of a script, by `this`, and what Rhai has or adds beside the list
//! ```
//!
//! So a function that Rhai adds tomorrow is not taken for harmless when a run goes on.

use super::signatures::natives;
use rhai::{ASTNode, Engine, Expr, FnCallExpr, FnPtr};
use std::collections::BTreeSet;

/// Rhai's own functions that change none of their arguments, those that take a rule as far as the rule does not change `this`.
const PURE: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "all",
    "as_string",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bits",
    "blob",
    "bytes",
    "ceiling",
    "chars",
    "contains",
    "cos",
    "cosh",
    "curry",
    "debug",
    "elapsed",
    "end",
    "ends_with",
    "exit",
    "exp",
    "extract",
    "filter",
    "find",
    "find_map",
    "floor",
    "fraction",
    "get",
    "get_bit",
    "get_bits",
    "hypot",
    "index_of",
    "int",
    "is_anonymous",
    "is_empty",
    "is_even",
    "is_exclusive",
    "is_finite",
    "is_inclusive",
    "is_infinite",
    "is_nan",
    "is_odd",
    "is_shared",
    "is_zero",
    "keys",
    "len",
    "ln",
    "log",
    "map",
    "max",
    "min",
    "name",
    "order",
    "order_by",
    "order_desc",
    "parse_be_float",
    "parse_be_int",
    "parse_float",
    "parse_int",
    "parse_json",
    "parse_le_float",
    "parse_le_int",
    "print",
    "range",
    "reduce",
    "reduce_rev",
    "round",
    "sign",
    "sin",
    "sinh",
    "sleep",
    "some",
    "split_rev",
    "sqrt",
    "start",
    "starts_with",
    "sub_string",
    "tag",
    "tan",
    "tanh",
    "timestamp",
    "to_array",
    "to_binary",
    "to_blob",
    "to_chars",
    "to_debug",
    "to_degrees",
    "to_float",
    "to_hex",
    "to_int",
    "to_json",
    "to_lower",
    "to_octal",
    "to_radians",
    "to_string",
    "to_upper",
    "type_of",
    "values",
    "zip",
];

/// Functions of Rhai that change what they are called on and give nothing back.
const SILENT: &[&str] = &[
    "append",
    "chop",
    "clear",
    "crop",
    "dedup",
    "fill_with",
    "for_each",
    "insert",
    "make_lower",
    "make_upper",
    "mixin",
    "pad",
    "push",
    "replace",
    "reverse",
    "set",
    "set_bit",
    "set_bits",
    "sort",
    "sort_by",
    "sort_desc",
    "splice",
    "trim",
    "truncate",
    "write_ascii",
    "write_be",
    "write_le",
    "write_utf8",
];

/// Functions of Rhai that take something out of what they are called on, and give it.
const TAKING: &[&str] = &["drain", "pop", "remove", "retain", "shift"];

/// Functions of Rhai that change nothing, but do more than compute a value.
const SEEN: &[&str] = &["debug", "exit", "print", "sleep", "timestamp"];

/// What is known of the functions that scripts can call.
#[derive(Clone, Debug, Default)]
pub struct Purity {
    /// Of the host alone.
    host: BTreeSet<String>,
    /// Rhai's own.
    rhai: BTreeSet<String>,
    /// Of scripts.
    scripts: BTreeSet<String>,
}

impl Purity {
    /// Of `engine`'s functions, and those of scripts that are called so.
    pub fn new(engine: &Engine, scripts: BTreeSet<String>) -> Self {
        let names = |engine: &Engine| -> BTreeSet<String> { natives(engine).into_iter().map(|n| n.name).collect() };
        let rhai = names(&Engine::new());
        let host = names(engine).difference(&rhai).cloned().collect();
        Self { host, rhai, scripts }
    }

    /// May `x.name(...)` change `x`?
    pub fn may_change(&self, name: &str) -> bool {
        self.scripts.contains(name) || !(PURE.contains(&name) || self.host.contains(name))
    }

    /// May `name(x, ...)` change `x`? Functions of scripts get a copy.
    pub fn may_change_argument(&self, name: &str) -> bool {
        self.rhai.contains(name) && !self.scripts.contains(name) && !PURE.contains(&name)
    }

    /// Does `x.name(...)` do nothing but change `x`, which is a value of Rhai's?
    pub fn only_changes(&self, name: &str) -> bool {
        SILENT.contains(&name) && !self.scripts.contains(name) && !self.host.contains(name)
    }

    /// Does `x.name(...)` take something out of `x`, which is a value of Rhai's, and give it?
    pub fn takes_out(&self, name: &str) -> bool {
        TAKING.contains(&name) && !self.scripts.contains(name) && !self.host.contains(name)
    }

    /// Does `expr` do nothing but compute a value? `own` is a call in it that may do what it likes.
    pub fn computes(&self, expr: &Expr, own: Option<&FnCallExpr>) -> bool {
        let known = |name: &str| PURE.contains(&name) && !SEEN.contains(&name) && !self.scripts.contains(name);
        expr.walk(&mut vec![], &mut |path: &[ASTNode]| match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))) => {
                let operator = !call.name.starts_with(|c: char| c.is_alphabetic() || c == '_');
                own.is_some_and(|own| std::ptr::eq(own, &**call))
                    || call.namespace.is_empty() && (operator || known(call.name.as_str()))
            }
            // A rule may do anything.
            Some(ASTNode::Expr(Expr::DynamicConstant(value, _))) => !value.is::<FnPtr>(),
            Some(ASTNode::Expr(Expr::Stmt(_) | Expr::Custom(..)) | ASTNode::Stmt(_)) => false,
            _ => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_hold_functions_that_rhai_has_and_what_is_unknown_changes() {
        let mut engine = Engine::new();
        engine.register_fn("step", |_: i64| ());
        let purity = Purity::new(&engine, BTreeSet::from(["grow".to_string(), "len".to_string()]));
        // Words of the language itself, and functions of the host's that stand in for Rhai's.
        let words = ["print", "debug", "type_of", "curry", "is_shared"];
        for name in PURE.iter().chain(SILENT).chain(TAKING).filter(|name| !words.contains(name)) {
            assert!(purity.rhai.contains(*name), "{name}");
        }
        assert!(PURE.iter().all(|name| !SILENT.contains(name)));
        for name in ["for_each", "sort_desc", "make_upper", "set_bit", "call", "take", "grow", "len", "added_later"] {
            assert!(purity.may_change(name), "{name}");
        }
        assert!(!purity.may_change("step") && !purity.may_change("index_of") && !purity.may_change_argument("len"));
        assert!(purity.may_change_argument("push") && !purity.may_change_argument("cross_entropy"));
    }
}
