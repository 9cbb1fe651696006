//! Colours of code: keywords, strings, numbers, comments, known functions.

use crate::base::text::tokens::{Kind, tokens};

const KEYWORDS: [&str; 23] = [
    "let", "const", "fn", "if", "else", "for", "in", "while", "loop", "do", "until", "break", "continue", "return",
    "switch", "import", "as", "throw", "try", "catch", "true", "false", "private",
];

/// What a part of the code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Keyword,
    Text,
    Number,
    Comment,
    Function,
    Command,
    Other,
}

/// What is typed, with ANSI colours; `known` tells whether a word is the name of a function.
pub fn highlight(code: &str, known: impl Fn(&str) -> bool) -> String {
    let paint = |(part, text): (Part, &str)| match part {
        Part::Comment => format!("\x1b[2m{text}\x1b[0m"),
        Part::Text => format!("\x1b[32m{text}\x1b[0m"),
        Part::Number => format!("\x1b[33m{text}\x1b[0m"),
        Part::Keyword => format!("\x1b[35m{text}\x1b[0m"),
        Part::Function => format!("\x1b[36m{text}\x1b[0m"),
        Part::Command => format!("\x1b[1m{text}\x1b[0m"),
        Part::Other => text.to_string(),
    };
    parts(code, known).into_iter().map(paint).collect()
}

/// The code in parts, one behind the other; nothing of it is left out.
pub fn parts(code: &str, known: impl Fn(&str) -> bool) -> Vec<(Part, &str)> {
    let mut found = vec![];
    let mut done = 0;
    // A command of the prompt is no Rhai.
    if code.starts_with([':', '?']) {
        done = code.find(char::is_whitespace).unwrap_or(code.len());
        found.push((Part::Command, &code[..done]));
    }
    let rest = &code[done..];
    let mut end = 0;
    for token in tokens(rest) {
        let part = match token.kind {
            Kind::Comment => Part::Comment,
            Kind::Text | Kind::Continued => Part::Text,
            Kind::Number => Part::Number,
            Kind::Word if KEYWORDS.contains(&token.text) => Part::Keyword,
            Kind::Word if rest[token.end()..].starts_with('(') && known(token.text) => Part::Function,
            Kind::Word | Kind::Sign => Part::Other,
        };
        found.extend([(Part::Other, &rest[end..token.start]), (part, token.text)]);
        end = token.end();
    }
    found.push((Part::Other, &rest[end..]));
    found.retain(|(_, text)| !text.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_colours_is_added() {
        let line = "let a = conv2d(1e-3, \"x\\\"y\") + foo(2..5) // ä\n`z`";
        let painted = highlight(line, |word| word == "conv2d");
        assert_eq!(plain(&painted), line);
        for part in [
            "\x1b[35mlet\x1b[0m",
            "\x1b[36mconv2d\x1b[0m",
            "\x1b[33m1e-3\x1b[0m",
            " foo(",
            "\x1b[33m2\x1b[0m..",
            "\x1b[2m// ä\x1b[0m",
        ] {
            assert!(painted.contains(part), "{part}: {painted:?}");
        }
    }

    fn plain(painted: &str) -> String {
        let codes = ["\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[36m", "\x1b[0m"];
        codes.iter().fold(painted.to_string(), |text, code| text.replace(code, ""))
    }

    /// The parts of a kind, a line for each.
    fn only(code: &str, wanted: Part) -> String {
        let own = parts(code, |word| word == "f").into_iter().filter(|(part, _)| *part == wanted);
        own.map(|(_, text)| text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn strings_and_comments_have_their_colour_to_their_end() {
        for (code, text) in [
            (r##"let a = #"x " y"# + b"##, r##"#"x " y"#"##),
            ("f('\"') + a", "'\"'"),
            ("`a ${b + `c`} d` + e", "`a $\n`c`\n d`"),
            ("\"a \\\n let b\" + c", "\"a \\\n let b\""),
            ("f(\"let a", "\"let a"),
            ("f(`a\n let", "`a\n let"),
            (":time f(\"a\")", "\"a\""),
        ] {
            assert_eq!(only(code, Part::Text), text);
            assert_eq!(plain(&highlight(code, |word| word == "f")), code);
        }
        assert_eq!(
            only("a /* let /* \" */ 1 */ + 1\n/// x\n//! y", Part::Comment),
            "/* let /* \" */ 1 */\n/// x\n//! y"
        );
        assert_eq!(only("a /* let\n b", Part::Comment), "/* let\n b");
        assert_eq!(only("1_000 + 0xff - 1..=2 + a1 + 2.max(3)", Part::Number), "1_000\n0xff\n1\n2\n2\n3");
        assert_eq!(only("f(1) + `${f(2)}` + \"f(\" + f // f(", Part::Function), "f\nf");
        assert_eq!(only("let a = `let ${if b { 1 }}`;", Part::Keyword), "let\nif");
        assert_eq!(
            [only(":load a.rhai", Part::Command), only("?f", Part::Command), only("a ? b", Part::Command)],
            [":load", "?f", ""]
        );
    }
}
