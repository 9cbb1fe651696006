//! Colours of what is typed: keywords, strings, numbers, comments, known functions.

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

/// The line with ANSI colours; `known` tells whether a word is the name of a function.
pub fn highlight(line: &str, known: impl Fn(&str) -> bool) -> String {
    painted(line, known, |part, text| match part {
        Part::Comment => format!("\x1b[2m{text}\x1b[0m"),
        Part::Text => format!("\x1b[32m{text}\x1b[0m"),
        Part::Number => format!("\x1b[33m{text}\x1b[0m"),
        Part::Keyword => format!("\x1b[35m{text}\x1b[0m"),
        Part::Function => format!("\x1b[36m{text}\x1b[0m"),
        Part::Command => format!("\x1b[1m{text}\x1b[0m"),
        Part::Other => text.to_string(),
    })
}

/// The code with every part as `paint` has it.
pub fn painted(line: &str, known: impl Fn(&str) -> bool, paint: impl Fn(Part, &str) -> String) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (length, style) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), Part::Comment),
            '"' | '`' => (string(rest, first), Part::Text),
            c if c.is_ascii_digit() => (number(rest), Part::Number),
            c if c.is_alphabetic() || c == '_' => {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = &rest[..length];
                let style = match () {
                    () if KEYWORDS.contains(&word) => Part::Keyword,
                    () if rest[length..].starts_with('(') && known(word) => Part::Function,
                    () => Part::Other,
                };
                (length, style)
            }
            ':' | '?' if out.is_empty() => (rest.find(char::is_whitespace).unwrap_or(rest.len()), Part::Command),
            c => (c.len_utf8(), Part::Other),
        };
        let (part, after) = rest.split_at(length);
        out += &paint(style, part);
        rest = after;
    }
    out
}

/// The length of the string that `text` begins with, to its end if it is not closed.
fn string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a number; of `1..5` only the 1.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let exponent_sign = matches!(bytes[i], b'+' | b'-') && i > 0 && matches!(bytes[i - 1], b'e' | b'E');
        let point = bytes[i] == b'.' && bytes.get(i + 1).is_some_and(u8::is_ascii_digit);
        if !(bytes[i].is_ascii_alphanumeric() || bytes[i] == b'_' || point || exponent_sign) {
            break;
        }
        i += 1;
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_colours_is_added() {
        let line = "let a = conv2d(1e-3, \"x\\\"y\") + foo(2..5) // ä\n`z`";
        let painted = highlight(line, |word| word == "conv2d");
        let mut plain = painted.clone();
        for code in ["\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[35m", "\x1b[36m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, line);
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
}
