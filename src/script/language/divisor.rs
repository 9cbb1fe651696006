//! Is `n // 2` a division that somebody meant? To Rhai `//` begins a comment.

use rhai::{Engine, Position, Scope, Token};

/// What of the comment at `at` would stand behind a division sign, if the comment is that and no note. A note is set apart by
/// blanks, or is no expression, or has words that are no names of the script, or gives another number where a number or a call
/// alone `is_element` of a map or a list.
pub(super) fn divisor<'a>(
    engine: &Engine,
    text: &str,
    at: Position,
    comment: &'a str,
    names: &[String],
    is_element: bool,
) -> Option<&'a str> {
    let rest =
        comment.strip_prefix("//").filter(|rest| !rest.starts_with(['/', '!', '\t']) && !rest.starts_with("  "))?;
    let before: String = text.lines().nth(at.line()? - 1)?.chars().take(at.position()? - 1).collect();
    if before.ends_with("  ") || before.ends_with('\t') {
        return None;
    }
    // The value goes on in the next line, as in `x.conv(8) // 32`.
    let next = text.lines().skip(at.line()?).map(str::trim).find(|next| !next.is_empty() && !next.starts_with("//"));
    if next.is_some_and(|next| next.starts_with('.') || next.starts_with("?.")) {
        return None;
    }
    let rest = rest.split("//").next()?.trim();
    // `0..1` and `- 1`, `[3, 32, 32]` and "x" stand behind no division.
    let begins = rest.starts_with(|c: char| c.is_alphanumeric() || "_(-".contains(c)) && !rest.starts_with("- ");
    if !begins || rest.contains("..") {
        return None;
    }
    // `2;` and `2), 3);` too: what belongs to the code around it.
    let mut value = rest;
    let words = loop {
        let list = || names_in(engine, &format!("[{value}]")).filter(|_| value.len() < rest.len());
        match names_in(engine, value).or_else(list) {
            Some(words) => break words,
            None => value = value.strip_suffix([';', ',', ')', ']', '}', '{'])?.trim_end(),
        }
    };
    let closing = &rest[value.len()..];
    let known = words.iter().all(|word| names.contains(word));
    // What ends in `;` or `)` was code; a note may end in a comma.
    if !known && closing.trim_matches([',', ' ']).is_empty() {
        return None;
    }
    // What else was tried for an element, or how many there are.
    (!is_element || !closing.is_empty()).then_some(rest)
}

/// The names in `value`, if it is an expression with a name or a number.
fn names_in(engine: &Engine, value: &str) -> Option<Vec<String>> {
    let (mut words, mut scope, mut number, mut before) = (vec![], Scope::new(), false, Token::SemiColon);
    for (token, _) in engine.lex(&[value]).0 {
        match &token {
            Token::EOF => break,
            Token::Identifier(name) if !matches!(before, Token::Period | Token::Elvis) => {
                scope.push(name.to_string(), ());
                words.push(name.to_string());
            }
            Token::Reserved(name) => words.push(name.to_string()),
            Token::IntegerConstant(..) | Token::FloatConstant(..) => number = true,
            _ => {}
        }
        before = token;
    }
    // With the names in scope, as a script's file must know every name.
    ((number || !words.is_empty()) && engine.compile_expression_with_scope(&scope, value).is_ok()).then_some(words)
}
