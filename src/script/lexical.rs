//! A light reading of Rhai source: words and signs with their places, comments and strings left out.
//!
//! Error messages need what the parsed script no longer has: where a function's name stands, which variables a file
//! that does not parse declares, which keys its maps have. This is no parser; it only has to be right about places.

/// A word, a number or a single sign of the source. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The word or number, or the one character of the sign; a string literal is shown as its opening quote.
    pub text: &'a str,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Piece<'_> {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// A function definition as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition<'a> {
    /// The function's name.
    pub name: &'a str,
    /// How many parameters it declares.
    pub arity: usize,
    /// Line of the name.
    pub line: usize,
    /// Column of the name.
    pub column: usize,
}

/// Split `text` into words and signs.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let at = |i: usize| chars.get(i).map_or('\0', |c| c.1);
    let byte = |i: usize| chars.get(i).map_or(text.len(), |c| c.0);
    let mut found = vec![];
    let (mut i, mut line, mut line_start) = (0, 1, 0);
    while i < chars.len() {
        let start = i;
        let (first_line, column) = (line, i - line_start + 1);
        let mut sign = None;
        match at(i) {
            c if c.is_alphabetic() || c == '_' => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                sign = Some(i);
            }
            c if c.is_ascii_digit() => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                sign = Some(i);
            }
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => i = end_of_comment(&at, i + 2, chars.len()),
            quote @ ('"' | '`' | '\'') => {
                i = end_of_string(&at, i + 1, quote, chars.len());
                sign = Some(start + 1);
            }
            c if c.is_whitespace() => i += 1,
            _ => {
                i += 1;
                sign = Some(i);
            }
        }
        if let Some(end) = sign {
            found.push(Piece { text: &text[byte(start)..byte(end)], line: first_line, column });
        }
        for (k, c) in chars.iter().enumerate().take(i).skip(start) {
            if c.1 == '\n' {
                line += 1;
                line_start = k + 1;
            }
        }
    }
    found
}

/// Rhai's block comments nest.
fn end_of_comment(at: &impl Fn(usize) -> char, mut i: usize, length: usize) -> usize {
    let mut depth = 1;
    while i < length && depth > 0 {
        match (at(i), at(i + 1)) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    i
}

fn end_of_string(at: &impl Fn(usize) -> char, mut i: usize, quote: char, length: usize) -> usize {
    while i < length && at(i) != quote {
        i += if at(i) == '\\' && quote != '`' { 2 } else { 1 };
    }
    (i + 1).min(length)
}

/// Every `fn name(...)` of `text`, methods (`fn Type.name(...)`) included.
pub fn definitions(text: &str) -> Vec<Definition<'_>> {
    let pieces = pieces(text);
    let mut found = vec![];
    for start in (0..pieces.len()).filter(|&i| pieces[i].text == "fn") {
        let Some(open) = (start + 1..pieces.len().min(start + 5)).find(|&i| pieces[i].text == "(") else { continue };
        let name = &pieces[open - 1];
        let arity = pieces[open + 1..].iter().take_while(|p| p.text != ")").filter(|p| p.is_word()).count();
        found.push(Definition { name: name.text, arity, line: name.line, column: name.column });
    }
    found
}

/// Names that `text` declares anywhere: variables, constants, parameters, loop variables, import aliases.
pub fn declared(text: &str) -> Vec<&str> {
    let pieces = pieces(text);
    let mut names = vec![];
    for (i, piece) in pieces.iter().enumerate() {
        let rest = &pieces[i + 1..];
        let until = |end: &'static str| rest.iter().take(40).take_while(move |p| p.text != end);
        match piece.text {
            "let" | "const" | "as" => names.extend(rest.first().map(|p| p.text)),
            "for" => names.extend(until("in").map(|p| p.text)),
            "fn" => names.extend(until(")").skip_while(|p| p.text != "(").map(|p| p.text)),
            "|" => names.extend(until("|").map(|p| p.text)),
            _ => {}
        }
    }
    names.retain(|n| n.starts_with(|c: char| c.is_alphabetic() || c == '_'));
    names.sort_unstable();
    names.dedup();
    names
}

/// Keys of the map literals of `text`: words before a single colon.
pub fn map_keys(text: &str) -> Vec<&str> {
    let pieces = pieces(text);
    let mut keys: Vec<&str> = pieces
        .windows(3)
        .filter(|w| w[0].is_word() && w[1].text == ":" && w[2].text != ":")
        .map(|w| w[0].text)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// `text` with the word `from` written `to`; the `_` of a `switch` stays.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    let pieces = pieces(text);
    let mut out = String::new();
    let mut done = 0;
    for (i, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.text == from) {
        let next = |n: usize| pieces.get(i + n).map_or("", |p| p.text);
        let is_case = (next(1) == "=" && next(2) == ">") || next(1) == "if" || next(1) == "|";
        if !is_case {
            let start = offset(text, piece);
            out += &text[done..start];
            out += to;
            done = start + from.len();
        }
    }
    out + &text[done..]
}

/// `text` without the definitions of functions for which `leave_out` holds.
pub fn without_functions(text: &str, leave_out: impl Fn(&str, usize) -> bool) -> String {
    let pieces = pieces(text);
    let mut out = String::new();
    let mut done = 0;
    for definition in definitions(text).iter().filter(|d| leave_out(d.name, d.arity)) {
        let at = |p: &Piece| (p.line, p.column) == (definition.line, definition.column);
        let Some(name) = pieces.iter().position(at) else { continue };
        let Some(start) = (0..name).rev().find(|&i| pieces[i].text == "fn") else { continue };
        let start = if start > 0 && pieces[start - 1].text == "private" { start - 1 } else { start };
        let mut depth = 0;
        let end = pieces.iter().skip(name).find(|p| {
            depth += i32::from(p.text == "{") - i32::from(p.text == "}");
            depth == 0 && p.text == "}"
        });
        if let Some(end) = end {
            out += &text[done..offset(text, &pieces[start])];
            done = offset(text, end) + 1;
        }
    }
    out + &text[done..]
}

/// The byte at which a piece begins.
fn offset(text: &str, piece: &Piece) -> usize {
    // Pieces are parts of the text that they were read from.
    piece.text.as_ptr() as usize - text.as_ptr() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_and_functions_left_out() {
        assert_eq!(replaced("_ + x_ * f(_) // _", "_", "last"), "last + x_ * f(last) // _");
        assert_eq!(replaced("switch a { 1 => _, _ => \"_\" }", "_", "b"), "switch a { 1 => b, _ => \"_\" }");
        let text = "let a = 1; private fn f(x) { if x { 1 } else { 2 } } fn f(x, y) { 3 } a";
        assert_eq!(without_functions(text, |name, arity| (name, arity) == ("f", 1)), "let a = 1;  fn f(x, y) { 3 } a");
        assert_eq!(without_functions(text, |_, _| false), text);
    }
}

#[cfg(test)]
mod reading {
    use super::*;

    #[test]
    fn definitions_are_found_outside_comments_and_strings() {
        let text =
            "/* fn no() /* nested */ */\n// fn no()\nlet s = \"fn no()\";\n  fn yes(a, b) { }\nfn Tensor.half() {}";
        assert_eq!(
            definitions(text),
            [
                Definition { name: "yes", arity: 2, line: 4, column: 6 },
                Definition { name: "half", arity: 0, line: 5, column: 11 }
            ]
        );
    }

    #[test]
    fn declared_names_and_keys() {
        let text = "import \"x\" as lip; let a = #{ lr: 1, eps: lip::b };\nfor (x, i) in a {} fn f(p, q) {} |u| u";
        assert_eq!(declared(text), ["a", "i", "lip", "p", "q", "u", "x"]);
        assert_eq!(map_keys(text), ["eps", "lr"]);
    }
}
