//! What was typed at the prompt, as a script that does the same: later definitions of a function replace earlier ones, values
//! that were shown are printed.

use super::source::LAST;
use crate::script::language::lexical;
use rhai::{AST, Stmt};

/// One input that went well.
#[derive(Clone, Debug)]
pub struct Typed {
    text: String,
    /// Functions that it defines: name and number of parameters.
    functions: Vec<(String, usize)>,
    /// Is it one expression?
    expression: bool,
    /// Was its value shown?
    pub shown: bool,
}

impl Typed {
    /// The input `text`, which was parsed to `ast`.
    pub fn of(ast: &AST, text: &str) -> Self {
        let functions = ast.iter_functions().filter(|f| !f.name.starts_with("anon$"));
        let functions: Vec<_> = functions.map(|f| (f.name.to_string(), f.params.len())).collect();
        let expression = functions.is_empty()
            && matches!(ast.statements(), [Stmt::Expr(..) | Stmt::FnCall(..)])
            && lexical::last(text) != Some(";");
        Self { text: text.to_string(), functions, expression, shown: false }
    }

    /// A whole script that was loaded.
    pub fn script(text: &str) -> Self {
        let functions = lexical::definitions(text).into_iter().map(|d| (d.name.to_string(), d.arity)).collect();
        Self { text: text.trim_end().to_string(), functions, expression: false, shown: false }
    }
}

/// The script.
pub fn script(inputs: &[Typed]) -> String {
    let mut text = String::from("// Typed at the workbench prompt.\n\n");
    for (i, input) in inputs.iter().enumerate() {
        let later = |name: &str, arity: usize| {
            inputs[i + 1..].iter().any(|other| other.functions.iter().any(|(n, a)| n == name && *a == arity))
        };
        let own = lexical::without_functions(&input.text, later);
        let own = own.trim();
        if own.is_empty() {
            continue;
        }
        let used = inputs.get(i + 1).is_some_and(|next| lexical::names(&next.text, LAST));
        // What is put behind it must not become a part of its comment.
        let closed = if lexical::ends_in_line_comment(own) { format!("{own}\n") } else { own.to_string() };
        text += &match (input.expression, input.shown, used) {
            (true, true, true) => format!("let {LAST} = {closed};\nprint({LAST});"),
            (true, _, true) => format!("let {LAST} = {closed};"),
            (true, true, false) => format!("print({closed});"),
            _ if lexical::last(own) == Some(";") || lexical::ends_with_function(own) => own.to_string(),
            _ => format!("{closed};"),
        };
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(inputs: &[(&str, bool)]) -> String {
        let mut engine = rhai::Engine::new();
        engine.set_strict_variables(false);
        let typed: Vec<Typed> = inputs
            .iter()
            .map(|(text, shown)| Typed { shown: *shown, ..Typed::of(&engine.compile(text).unwrap(), text) })
            .collect();
        script(&typed)
    }

    #[test]
    fn inputs_become_a_script() {
        let inputs = [
            ("let x = 2", false),
            ("fn twice(a) { a }", false),
            ("fn twice(a) {\n  2 * a // better\n}", false),
            ("twice(x) // the double", true),
            ("last_value + 1", true),
            ("x + 1;", false),
            ("fn other() { 1 } x", true),
        ];
        let text = saved(&inputs);
        assert_eq!(
            text,
            "// Typed at the workbench prompt.\n\nlet x = 2;\nfn twice(a) {\n  2 * a // better\n}\nlet last_value = twice(x) \
             // the double\n;\nprint(last_value);\nprint(last_value + 1);\nx + 1;\nfn other() { 1 } x;\n"
        );
        assert!(rhai::Engine::new().run(&text).is_ok());
    }

    #[test]
    fn signs_in_strings_and_comments_close_nothing() {
        for (inputs, wanted) in [
            (&[("let m = #{ a: 1 }", false), ("m.a", true)][..], "let m = #{ a: 1 };\nprint(m.a);\n"),
            (&[("let x = 2 // two;", false), ("x", true)], "let x = 2 // two;\n;\nprint(x);\n"),
            (&[("let x = `;`", false), ("x; // shown", false)], "let x = `;`;\nx; // shown\n"),
            (
                &[("\"a//b\"", true), ("`${last_value}`", true)],
                "let last_value = \"a//b\";\nprint(last_value);\nprint(`${last_value}`);\n",
            ),
            (&[("1", true), ("`last_value`", true)], "print(1);\nprint(`last_value`);\n"),
            (
                &[("let f = |x| { x }", false), ("for i in 0..2 { f.call(i) }", false), ("1", true)],
                "let f = |x| { x };\nfor i in 0..2 { f.call(i) };\nprint(1);\n",
            ),
            (&[("/// One.\nfn f() { `}` }", false), ("/// Two.\nfn f() { 2 }", false)], "/// Two.\nfn f() { 2 }\n"),
        ] {
            let text = saved(inputs);
            assert_eq!(text.split_once("\n\n").unwrap().1, wanted);
            assert!(rhai::Engine::new().run(&text).is_ok(), "{text}");
        }
    }
}
