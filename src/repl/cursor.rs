//! What stands before the cursor: a word or a string that is being typed, and the code before it.

use crate::base::text::tokens::{Kind, Token, code, tokens};

/// The end of what is typed.
pub struct Cursor<'a> {
    /// The code before it, without comments.
    before: Vec<Token<'a>>,
    /// The word, or the string without its quote, up to the cursor.
    pub typed: &'a str,
    /// The byte at which that begins.
    pub start: usize,
    /// Is it a string?
    pub in_string: bool,
}

impl<'a> Cursor<'a> {
    /// The cursor behind `head`; none in a comment, a number, a character or the later text of a template, where there is
    /// nothing to complete.
    pub fn behind(head: &'a str) -> Option<Self> {
        let mut before = tokens(head);
        let touching = before.pop_if(|token| token.end() == head.len() && (token.open || token.kind != Kind::Sign));
        let (start, in_string) = match touching {
            None => (head.len(), false),
            Some(token) if token.kind == Kind::Text && token.open => {
                let quote = token.text.find(|c| c != '#').filter(|at| token.text[*at..].starts_with(['"', '`']))?;
                (token.start + quote + 1, true)
            }
            // `12ab` is no word.
            Some(token) if token.kind == Kind::Word => {
                let glued = before.last().is_some_and(|last| last.kind == Kind::Number && last.end() == token.start);
                (Some(token.start).filter(|_| !glued)?, false)
            }
            Some(_) => return None,
        };
        before.retain(|token| token.kind != Kind::Comment);
        Some(Self { before, typed: &head[start..], start, in_string })
    }

    /// The texts of the `N` tokens before it, if there are so many.
    pub fn last<const N: usize>(&self) -> Option<[&'a str; N]> {
        self.before.last_chunk::<N>().map(|last| last.map(|token| token.text))
    }

    /// The alias, if it stands behind `alias::`.
    pub fn module(&self) -> Option<&'a str> {
        self.last().filter(|[_, sign]| *sign == "::").map(|[alias, _]| alias)
    }

    /// What is before the dot, if it stands behind one.
    pub fn value(&self) -> Option<&[Token<'a>]> {
        let (dot, value) = self.before.split_last()?;
        is_dot(dot).then_some(value)
    }

    /// The function in whose map of options it is, at the place of a key.
    pub fn options_of(&self) -> Option<Call<'a>> {
        let mut open = vec![];
        for (i, token) in self.before.iter().enumerate() {
            match token.text {
                "(" | "[" | "?[" | "{" | "#{" => open.push(i),
                ")" | "]" | "}" => drop(open.pop()),
                _ => {}
            }
        }
        let [.., call, map] = open[..] else { return None };
        let is_key = matches!(self.before.last()?.text, "#{" | ",");
        let fits = is_key && self.before[map].text == "#{" && self.before[call].text == "(";
        fits.then(|| Call::behind(&self.before[..call]))?
    }
}

/// A function that is called.
pub struct Call<'a> {
    /// The alias of its module, or nothing.
    pub alias: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Is it called on a value, behind a dot?
    pub method: bool,
}

impl<'a> Call<'a> {
    /// The call whose bracket `head` ends with.
    pub fn opened(head: &'a str) -> Option<Self> {
        if !head.ends_with('(') {
            return None;
        }
        let code = code(head);
        let (bracket, before) = code.split_last()?;
        // In a string or a comment it is none.
        (bracket.text == "(" && bracket.end() == head.len()).then(|| Self::behind(before))?
    }

    fn behind(before: &[Token<'a>]) -> Option<Self> {
        let (name, before) = before.split_last().filter(|(name, _)| name.kind == Kind::Word)?;
        let alias = match before {
            [.., alias, colons] if colons.text == "::" => alias.text,
            _ => "",
        };
        Some(Self { alias, name: name.text, method: before.last().is_some_and(is_dot) })
    }
}

/// Is it the dot before a property or a method?
pub fn is_dot(token: &Token) -> bool {
    matches!(token.text, "." | "?.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_strings_begin_where_rhai_has_them() {
        for (head, typed, in_string, last) in [
            ("let x = spec", "spec", false, Some("=")),
            ("", "", false, None),
            ("f(\"a\" + \"b", "b", true, Some("+")),
            ("f(#\"a\" b", "a\" b", true, Some("(")),
            ("f('\"', dat", "dat", false, Some(",")),
            ("f(#\"a \" b\"#, dat", "dat", false, Some(",")),
            ("`a ${dat", "dat", false, Some("{")),
            ("`a ${ `b ${c} d` + dat", "dat", false, Some("+")),
            ("f(`dat", "dat", true, Some("(")),
            ("f(\"a \\\n  dat", "a \\\n  dat", true, Some("(")),
            ("let a = \"b;\nlet c = dat", "dat", false, Some("=")),
            ("/* \" */ dat", "dat", false, None),
            ("it's // a\ndat", "dat", false, Some("'s // a")),
        ] {
            let cursor = Cursor::behind(head).unwrap_or_else(|| panic!("{head}"));
            let found = (cursor.typed, cursor.in_string, cursor.last().map(|[last]| last));
            assert_eq!(found, (typed, in_string, last), "{head}");
            assert_eq!(&head[cursor.start..], typed);
        }
        for head in ["// dat", "/* /* */ dat", "`${a} dat", "`${a}", "1_0", "0x1f", "'a", "12ab", "//! dat"] {
            assert!(Cursor::behind(head).is_none(), "{head}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_an_end(head in "[\"'`#${}/*\\\\\r\na_é1.:(),\\[]{0,16}") {
            if let Some(cursor) = Cursor::behind(&head) {
                assert_eq!(&head[cursor.start..], cursor.typed);
                let _ = (cursor.options_of(), cursor.value(), cursor.module());
            }
            let _ = Call::opened(&head);
        }
    }

    #[test]
    fn calls_and_their_options_are_found() {
        let options =
            |head: &str| Cursor::behind(head)?.options_of().map(|call| format!("{}:{}", call.alias, call.name));
        for (head, call) in [
            ("f(1, #{ a", Some(":f")),
            ("m::f([1], g(2), #{ a: 1, b", Some("m:f")),
            ("f(`${ #{ x: `}` } }`, #{ a: \"}\", ", Some(":f")),
            ("f(#{ a: '}', /* } */ b", Some(":f")),
            ("f(#{ a: b", None),
            ("f(#{ a: #{ b", None),
            ("f(#{ a: 1 }, b", None),
            ("#{ a", None),
            ("f(\"#{ a", None),
        ] {
            assert_eq!(options(head).as_deref(), call, "{head}");
        }
        let opened =
            |head: &str| Call::opened(head).map(|call| (call.alias.to_string(), call.name.to_string(), call.method));
        assert_eq!(opened("a + m::f("), Some(("m".into(), "f".into(), false)));
        assert_eq!(opened("a().f("), Some((String::new(), "f".into(), true)));
        assert_eq!(opened("`${a?.f("), Some((String::new(), "f".into(), true)));
        assert_eq!([opened("\"f("), opened("// f("), opened("`f("), opened("("), opened("(1)(")], [const { None }; 5]);
    }
}
