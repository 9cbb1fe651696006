//! Values that `catch` does not give: `try { f() } catch { 0.0 }` is worth what its first block is worth, and nothing where that
//! fails, so a value at the end of the second block is one that its writer takes for the result.

use rhai::{AST, ASTNode, Expr, Position, Stmt};

/// What to tell the user.
pub const MESSAGE: &str = "this value is lost: what `catch` ends with is no result of `try`; write `return` before it, or set a \
                           variable that is declared before `try`";

/// The places of such values in a file.
pub fn lost(ast: &AST) -> Vec<Position> {
    let mut found = vec![];
    ast.walk(&mut |path: &[ASTNode]| {
        if let Some(ASTNode::Stmt(Stmt::TryCatch(parts, _))) = path.last()
            && let Some(Stmt::Expr(last)) = parts.branch.statements().last()
            && is_mere_value(last)
        {
            found.push(last.start_position());
        }
        true
    });
    found
}

/// Nothing but a value: to compute it and to drop it does nothing. A call may be there for what it does.
fn is_mere_value(expression: &Expr) -> bool {
    match expression {
        Expr::Unit(_) => false,
        Expr::FnCall(call, _) => call.is_operator_call(),
        Expr::Variable(..) | Expr::InterpolatedString(..) | Expr::Array(..) | Expr::Map(..) => true,
        other => other.is_constant(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_at_the_end_of_catch_are_found_and_calls_are_not() {
        let found = |script: &str| {
            let mut engine = rhai::Engine::new();
            engine.set_optimization_level(rhai::OptimizationLevel::None);
            lost(&engine.compile(script).unwrap()).len()
        };
        for script in ["0.0", "e", "x + 1", "[1]", "#{ a: 1 }", "`${e}`", "-1", "print(e); 0"] {
            assert_eq!(found(&format!("fn safe(x) {{ try {{ x / 0 }} catch (e) {{ {script} }} }}")), 1, "{script}");
        }
        for script in
            ["", "print(e)", "print(e);", "return 0.0;", "x = 1", "x = 1;", "throw e;", "f(e)", "m.push(1)", "break;"]
        {
            let text = format!("let x = 0; let m = []; loop {{ try {{ x / 0 }} catch (e) {{ {script} }} break; }}");
            assert_eq!(found(&text), 0, "{script}");
        }
    }
}
