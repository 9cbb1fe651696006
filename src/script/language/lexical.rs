//! What a script says of itself where the parsed script no longer tells, or does not parse: where a function's name
//! stands, which variables a file declares, which keys its maps have, which modules it imports.
//!
//! It reads [`tokens`](crate::base::text::tokens), so strings, templates and comments are what they are for Rhai. This is no
//! parser; it only has to be right about places.

use crate::base::text::tokens::{Kind, Token, code, tokens};

/// A list of parameters, or of what a loop goes through, is looked for among so many tokens.
const LIST: usize = 40;

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

/// Every `fn name(...)` of `text`, methods (`fn Type.name(...)`) included.
pub fn definitions(text: &str) -> Vec<Definition<'_>> {
    let code = code(text);
    (0..code.len()).filter_map(|at| definition(&code, at)).map(|(definition, _)| definition).collect()
}

/// The definition whose `fn` is `code[at]`, and where its parameters begin.
fn definition<'a>(code: &[Token<'a>], at: usize) -> Option<(Definition<'a>, usize)> {
    if !is(&code[at], "fn") {
        return None;
    }
    // Between them stands a name, or a type, a dot and a name. `()` is one token.
    let open = (at + 2..code.len().min(at + 5)).find(|&i| code[i].text.starts_with('('))?;
    let name = &code[open - 1];
    let parameters = code[open..].iter().take_while(|token| !token.text.ends_with(')'));
    let arity = parameters.filter(|token| token.kind == Kind::Word).count();
    Some((Definition { name: name.text, arity, line: name.line, column: name.column }, open))
}

/// Is the token this word or sign? A string of the same letters is not.
fn is(token: &Token, text: &str) -> bool {
    !token.is_text() && token.text == text
}

/// Names that `text` declares anywhere: variables, constants, parameters, loop variables, caught errors, import aliases.
pub fn declared(text: &str) -> Vec<&str> {
    let code = code(text);
    let mut names: Vec<&Token> = vec![];
    for (i, token) in code.iter().enumerate().filter(|(_, token)| !token.is_text()) {
        let rest = &code[i + 1..];
        let until = |end: &'static str| rest.iter().take(LIST).take_while(move |t| t.text != end);
        match token.text {
            "let" | "const" | "as" => names.extend(rest.first()),
            "for" => names.extend(until("in")),
            "catch" => names.extend(rest.get(1).filter(|_| is(&rest[0], "("))),
            "fn" => {
                names.extend(until(")").skip_while(|t| t.text != "(" && t.text != "()").take_while(|t| t.text != "()"))
            }
            "|" => names.extend(until("|")),
            _ => {}
        }
    }
    sorted(names.into_iter().filter(|token| token.kind == Kind::Word).map(|token| token.text))
}

/// Keys of the map literals of `text`: words and strings before a colon.
pub fn map_keys(text: &str) -> Vec<&str> {
    let code = code(text);
    let keys = code.windows(2).filter(|pair| is(&pair[1], ":")).filter_map(|pair| match pair[0].kind {
        Kind::Word => Some(pair[0].text),
        Kind::Text => pair[0].text.strip_prefix('"')?.strip_suffix('"'),
        _ => None,
    });
    sorted(keys)
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The modules that `text` imports by name, in order.
pub fn imports(text: &str) -> Vec<String> {
    code(text).windows(2).filter(|pair| is(&pair[0], "import")).filter_map(|pair| pair[1].string()).collect()
}

/// Does the word `name` stand in the code of `text`?
pub fn names(text: &str, name: &str) -> bool {
    tokens(text).iter().any(|token| is(token, name))
}

/// The last word or sign of the code of `text`.
pub fn last(text: &str) -> Option<&str> {
    code(text).last().map(|token| token.text)
}

/// Does `text` end inside a `/* ... */`?
pub fn ends_in_block_comment(text: &str) -> bool {
    open_comment(text).is_some_and(|comment| comment.starts_with("/*"))
}

/// Does `text` end inside a `// ...`?
pub fn ends_in_line_comment(text: &str) -> bool {
    open_comment(text).is_some_and(|comment| comment.starts_with("//"))
}

/// Is the last of `text` a comment that describes a function?
pub fn ends_with_doc_comment(text: &str) -> bool {
    tokens(text).last().is_some_and(Token::is_doc_comment)
}

fn open_comment(text: &str) -> Option<&str> {
    tokens(text).last().filter(|token| token.kind == Kind::Comment && token.open).map(|token| token.text)
}

/// Is the end of the code of `text` that of a function?
pub fn ends_with_function(text: &str) -> bool {
    let code = code(text);
    let last = (0..code.len()).rev().find_map(|at| definition(&code, at));
    let end = last.and_then(|(_, open)| end_of_block(&code[open..]));
    end.is_some() && end == code.last().map(Token::end)
}

/// The lines of `text`, each that begins inside a string or a comment as an empty one.
pub fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    for token in tokens(text) {
        lines.iter_mut().take(token.last_place().0).skip(token.line).for_each(|line| *line = "");
    }
    lines
}

/// `text` with the word `from` written `to`; the `_` of a `switch` stays.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    let code = code(text);
    let (mut out, mut done) = (String::new(), 0);
    for (i, token) in code.iter().enumerate().filter(|(_, token)| is(token, from)) {
        if !code.get(i + 1).is_some_and(|next| is(next, "=>") || is(next, "if")) {
            out += &text[done..token.start];
            out += to;
            done = token.end();
        }
    }
    out + &text[done..]
}

/// `text` without the definitions of functions for which `leave_out` holds, and without the comments that describe them.
pub fn without_functions(text: &str, leave_out: impl Fn(&str, usize) -> bool) -> String {
    let (all, code) = (tokens(text), code(text));
    let (mut out, mut done) = (String::new(), 0);
    for at in 0..code.len() {
        // In text that is no Rhai one may stand in another.
        let Some((found, open)) = definition(&code, at).filter(|_| code[at].start >= done) else { continue };
        let Some(end) = end_of_block(&code[open..]).filter(|_| leave_out(found.name, found.arity)) else { continue };
        let before = all.partition_point(|token| token.start < code[at].start);
        let kept = |token: &Token| !token.is_doc_comment() && !is(token, "private");
        let first = all[..before].iter().rposition(kept).map_or(0, |kept| kept + 1);
        out += &text[done..all[first].start];
        done = end;
    }
    out + &text[done..]
}

/// The byte behind the first `{ ... }` of `code`.
fn end_of_block(code: &[Token]) -> Option<usize> {
    let mut depth = 0;
    let end = code.iter().find(|token| {
        depth += i32::from(is(token, "{") || is(token, "#{")) - i32::from(is(token, "}"));
        depth == 0 && is(token, "}")
    });
    end.map(Token::end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_where_they_are_code() {
        let last = |text: &str| replaced(text, "_", "last");
        for (text, wanted) in [
            ("_ + x_ * f(_) // _", "last + x_ * f(last) // _"),
            ("switch a { 1 => _, _ => \"_\" }", "switch a { 1 => last, _ => \"_\" }"),
            ("_ | 1", "last | 1"),
            ("`_ ${_} _ ${ `_ ${_}` } _`", "`_ ${last} _ ${ `_ ${last}` } _`"),
            ("#\"_ \"_\"# + '_' + \"_\\\n_\" + _", "#\"_ \"_\"# + '_' + \"_\\\n_\" + last"),
            ("'\"' + _ + '\"'", "'\"' + last + '\"'"),
            ("/* _ /* _ */ _ */ 1_000 + _", "/* _ /* _ */ _ */ 1_000 + last"),
            ("#{ a: _, b_: 1 }.b_", "#{ a: last, b_: 1 }.b_"),
            ("_.._", "last..last"),
            ("`${_", "`${last"),
        ] {
            assert_eq!(last(text), wanted);
        }
    }

    #[test]
    fn functions_are_left_out_with_what_describes_them() {
        let without = |text: &str| without_functions(text, |name, arity| (name, arity) == ("f", 1));
        for (text, wanted) in [
            (
                "let a = 1; private fn f(x) { if x { 1 } else { 2 } } fn f(x, y) { 3 } a",
                "let a = 1;  fn f(x, y) { 3 } a",
            ),
            ("/// What it does.\n/** More. */\nfn f(x) { #{ a: x } } 1", " 1"),
            ("// Of a.\nlet a = 1;\n/// Old.\nfn f(x) { `}${ #{a: \"}\"} }` } a", "// Of a.\nlet a = 1;\n a"),
            ("fn f(x) { '}' } fn f() { 1 } f()", " fn f() { 1 } f()"),
            ("let s = `fn f(x) { 1 }`;", "let s = `fn f(x) { 1 }`;"),
            ("fn Tensor.f(x) { /* } */ this } 2", " 2"),
            ("fn f(x) { 1", "fn f(x) { 1"),
        ] {
            assert_eq!(without(text), wanted);
        }
    }

    #[test]
    fn definitions_are_found_outside_comments_and_strings() {
        let text = "/* fn no() /* nested */ */\n// fn no()\nlet s = \"fn no()\";\n  fn yes(a, b) { }\nfn Tensor.half() {}\n\
                    let r = #\"\"fn no()\"#; let t = `fn no() ${ |x| x }\nfn no()`; '\"'; fn last(/* a, */ x) {}";
        let found: Vec<_> = definitions(text).iter().map(|d| (d.name, d.arity, d.line, d.column)).collect();
        assert_eq!(found, [("yes", 2, 4, 6), ("half", 0, 5, 11), ("last", 1, 7, 19)]);
    }

    #[test]
    fn declared_names_and_keys() {
        let text = "import \"x\" as lip; let a = #{ lr: 1, \"min lr\": 2, eps: lip::b };\nfor (x, i) in a {} fn f(p, q) {} |u| u";
        assert_eq!(declared(text), ["a", "i", "lip", "p", "q", "u", "x"]);
        assert_eq!(map_keys(text), ["eps", "lr", "min lr"]);
        let text = "try { fn f() { g(1) } } catch (e) { `let no: ${ let yes = 1; yes }` } #\"let no = 1; no: 2\"#; catch { no }";
        assert_eq!(declared(text), ["e", "yes"]);
        assert_eq!(map_keys(text), [""; 0]);
    }

    #[test]
    fn imports_are_found_wherever_they_stand() {
        let text = "/* import \"no\" */ import \"a\" as a; import\n  `b` as b; // import \"no\"\nlet s = \"import \"; if x { import #\"c\"# as c; }";
        assert_eq!(imports(text), ["a", "b", "c"]);
    }

    #[test]
    fn the_last_word_is_no_comment() {
        assert_eq!(
            [last("1; // done"), last("`a;`"), last("/* ; */"), last("a /* b */ ;")],
            [Some(";"), Some("`a;`"), None, Some(";")]
        );
        let open = ["/* a", "1 /* /* */", "1 // /* a", "/* a */", "// a\n", "\"/* a"];
        assert_eq!(open.map(ends_in_block_comment), [true, true, false, false, false, false]);
        assert_eq!(
            ["/// a\n", "1 /** a */", "// a", "//// a", "/// a\nb"].map(ends_with_doc_comment),
            [true, true, false, false, false]
        );
        assert_eq!(open.map(ends_in_line_comment), [false, false, true, false, false, false]);
        let ends =
            ["fn f() { #{} } // a", "fn f() {} #{}", "#{ a: `fn f() {}` }", "", "fn f() {"].map(ends_with_function);
        assert_eq!(ends, [true, false, false, false, false]);
        assert_eq!(lines("a `\nfn b() {\n` c\r\n/*\nfn d */ e\nf"), ["a `", "", "", "/*", "", "f"]);
        assert!(names("1 + a", "a") && names("`${a}`", "a") && !names("\"a\" + 'a' + `a` // a", "a"));
    }
}
