//! Which variables of a script a function does not see: those of the statements around it. For the message about them, so it
//! reads texts that do not parse.

use crate::base::text::tokens::code;

/// A variable or constant of a script's own statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outer {
    pub is_constant: bool,
    /// The line of its declaration.
    pub line: usize,
    /// The function that asked for it.
    pub function: String,
}

/// If `line` and `column` lie in a function, and `name` is declared outside of all functions: where.
pub fn outer(text: &str, name: &str, line: usize, column: usize) -> Option<Outer> {
    let tokens = code(text);
    let mut declared = None;
    let mut within = None;
    let mut i = 0;
    while i < tokens.len() {
        match tokens[i].text {
            "fn" => {
                let open = (i..tokens.len()).find(|&k| tokens[k].text == "{").unwrap_or(tokens.len());
                let mut depth = 0_i32;
                let close = (open..tokens.len()).find(|&k| {
                    depth += i32::from(tokens[k].text == "{") - i32::from(tokens[k].text == "}");
                    depth == 0
                });
                let close = close.unwrap_or(tokens.len().saturating_sub(1));
                let place = |k: usize| tokens.get(k).map(|p| (p.line, p.column));
                if place(i) <= Some((line, column)) && Some((line, column)) <= place(close) {
                    let head = (i + 1..open).take_while(|&k| !matches!(tokens[k].text, "(" | "()")).last();
                    within = head.map(|k| tokens[k].text.to_string());
                }
                i = close;
            }
            word @ ("let" | "const") if tokens.get(i + 1).is_some_and(|p| p.text == name) => {
                declared = declared.or(Some((word == "const", tokens[i + 1].line)));
            }
            _ => {}
        }
        i += 1;
    }
    let ((is_constant, line), function) = declared.zip(within)?;
    Some(Outer { is_constant, line, function })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_around_a_function_are_told_from_its_own() {
        let text = "let scale = 0.5;\nconst RATE = 2;\nfn scaled(x) { if x { x * scale } }\nfn other(y) { let own = RATE; own }\nown;";
        let found = |name, line, column| outer(text, name, line, column).map(|o| (o.function, o.is_constant, o.line));
        assert_eq!(found("scale", 3, 27), Some(("scaled".into(), false, 1)));
        assert_eq!(found("RATE", 4, 25), Some(("other".into(), true, 2)));
        assert_eq!(found("own", 5, 1), None);
        assert_eq!(found("nowhere", 3, 27), None);
        assert_eq!(outer("fn f() { x", "x", 1, 10), None);
        // In a template, behind one, and not in a text.
        let text = "let x = 1; fn f() { `a ${x} } {`; x } let y = \"fn g() {\"; x";
        assert_eq!(outer(text, "x", 1, 26).map(|o| o.function), Some("f".into()));
        assert_eq!(outer(text, "x", 1, 35).map(|o| o.function), Some("f".into()));
        assert_eq!(outer(text, "x", 1, 61), None);
    }
}
