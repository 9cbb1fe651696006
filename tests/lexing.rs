//! Tokens of Rhai source: where Rhai has them, and whatever the text, in order and with nothing but white space between.

use proptest::prelude::*;
use rhai::Token as Rhai;
use workbench::base::text::tokens::{Kind, Token, code, tokens};
use workbench::script::explain::report::end_before;
use workbench::script::language::lexical;
use workbench::show::highlight::parts;

/// The first letter of its kind and the text of each token, an open one with `...`.
fn shown(text: &str) -> Vec<String> {
    let kind = |t: &Token| format!("{:?}", t.kind).chars().next().unwrap();
    let part = |t: &Token| format!("{} {}{}", kind(t), t.text, if t.open { " ..." } else { "" });
    tokens(text).iter().map(part).collect()
}

#[test]
fn strings_of_every_form_are_one_token() {
    for text in [
        r#""a \" \\""#,
        r##"#"a " \ "b"#"##,
        r###"##"a "# // b"##"###,
        "\"a \\\n  b\"",
        "\"a \\\r\n  b\"",
        "\"a\"\"b\"",
        "`a\n\" ' // b`",
        "`\r\na`",
        "`a\\${b}`",
        "`a``b`",
        "'\"'",
        r"'\''",
        r"'\x41'",
        "\"é\"",
        r#""a\qb""#,
        "''",
        "'ab'",
    ] {
        let found = tokens(text);
        assert_eq!((found.len(), found[0].kind, found[0].text, found[0].open), (1, Kind::Text, text, false));
        let followed = format!("{text};x");
        assert_eq!(tokens(&followed).iter().map(|t| t.text).collect::<Vec<_>>(), [text, ";", "x"]);
    }
}

#[test]
fn templates_hold_code_and_text() {
    let parts = ["T `a _ $", "S {", "T `b $", "S {", "W _", "S }", "C `", "S }", "C  c`", "W _"];
    assert_eq!(shown("`a _ ${ `b ${_}` } c` _"), parts);
    let parts =
        ["T `$", "S {", "S #{", "W a", "S :", "S |", "W x", "S |", "S {", "W x", "S }", "S }", "S }", "C $", "S {"];
    assert_eq!(shown("`${#{a: |x| { x }}}${1}`")[..15], parts);
    assert_eq!(shown("`${#{a: |x| { x }}}${1}`")[15..], ["N 1", "S }", "C `"]);
    assert_eq!(shown("`a`${1}"), ["T `a`", "S $", "S {", "N 1", "S }"]);
    assert_eq!(shown("\"${a}\" '$' #\"${a}\"#"), ["T \"${a}\"", "T '$'", "T #\"${a}\"#"]);
}

#[test]
fn numbers_signs_and_comments() {
    let numbers = ["N 1_000", "N 0xff", "N 1", "S ..", "N 2", "N 1e-3", "S =", "N -5", "N 3", "S -", "N 5"];
    assert_eq!(shown("1_000 0xff 1..2 1e-3 = -5 3-5"), numbers);
    assert_eq!(shown("a@b a!in 1.max"), ["W a", "S @", "W b", "W a", "S !in", "N 1", "S .", "W max"]);
    assert_eq!(shown("f() #{ a::b?.c }"), ["W f", "S ()", "S #{", "W a", "S ::", "W b", "S ?.", "W c", "S }"]);
    let comments =
        ["C //! a", "C //// b", "C /// c", "C /* d /* e */ f */", "C /** g */", "C /*** h ***/", "N 1", "C // i ..."];
    assert_eq!(shown("//! a\r\n//// b\n/// c\n/* d /* e */ f */ /** g */ /*** h ***/ 1 // i"), comments);
    // A sign behind a comment is what it would be without it.
    assert_eq!(shown("a /* b */ -1 = /* c */ -1")[2..], ["S -", "N 1", "S =", "C /* c */", "N -1"]);
}

#[test]
fn what_is_not_finished_is_open() {
    for text in [
        "\"a",
        "\"a\\",
        "#\"a\"",
        "##\"a\"#",
        "`a",
        "`a ${b}",
        "`a ${b} c",
        "/* a",
        "/* a /* b */",
        "// a",
        "'a",
        "'",
        "\"\\x4",
    ] {
        let last = *tokens(text).last().unwrap();
        assert!(last.open && last.end() == text.len(), "{text}: {last:?}");
    }
    for text in ["\"a\n", "`a ${b", "`a ${", "// a\n", "a", "\"a\" ", "\"a\\q\n"] {
        let found = tokens(text);
        assert!(!found.iter().any(|t| t.open && t.end() == text.len()), "{text}: {found:?}");
    }
    let broken = ["W let", "W a", "S =", "T \"x y ...", "W let", "W b", "S =", "T 'c ...", "N 1"];
    assert_eq!(shown("let a = \"x y\r\nlet b = 'c\n1"), broken);
}

#[test]
fn places_count_characters_and_lines() {
    let text = "\"é\" a\r\n  `x\ny` b /* ä */ c";
    let places: Vec<_> = tokens(text).iter().map(|t| (t.text, t.line, t.column, t.last_place())).collect();
    assert_eq!(
        places,
        [
            ("\"é\"", 1, 1, (1, 3)),
            ("a", 1, 5, (1, 5)),
            ("`x\ny`", 2, 3, (3, 2)),
            ("b", 3, 4, (3, 4)),
            ("/* ä */", 3, 6, (3, 12)),
            ("c", 3, 14, (3, 14))
        ]
    );
}

#[test]
fn a_strings_value_is_as_rhai_reads_it() {
    let value = |text: &str| tokens(text)[0].string();
    assert_eq!(value(r#""a\tb\u00e4""#).as_deref(), Some("a\tbä"));
    assert_eq!(value(r##"#"a\t"b"#"##).as_deref(), Some("a\\t\"b"));
    assert_eq!(value("`a`").as_deref(), Some("a"));
    assert_eq!([value("`a${b}`"), value("\"a"), value("'a'"), value("a")], [None, None, None, None]);
}

/// Every file of std and every script, read by the engine's lexer: the same tokens at the same places.
#[test]
fn tokens_stand_where_rhai_has_them() {
    let engine = rhai::Engine::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["stdlib", "scripts"].iter().flat_map(|f| std::fs::read_dir(root.join(f)).unwrap());
    let mut checked = 0;
    for path in files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "rhai")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let inputs = [text.as_str()];
        let (lexer, control) = engine.lex(&inputs);
        let (mut braces, mut in_braces, mut theirs) = (vec![], false, vec![]);
        for (token, at) in lexer.take_while(|(token, _)| *token != Rhai::EOF) {
            match token {
                Rhai::LeftBrace | Rhai::MapStart => braces.push(std::mem::take(&mut in_braces)),
                Rhai::RightBrace if braces.pop() == Some(true) => control.borrow_mut().is_within_text = true,
                Rhai::InterpolatedString(_) => in_braces = true,
                _ => {}
            }
            // Of a template's later parts Rhai tells another place.
            if !matches!(token, Rhai::StringConstant(_) | Rhai::InterpolatedString(_) | Rhai::Comment(_)) {
                theirs.push((at.line().unwrap(), at.position().unwrap()));
            }
        }
        let ours = code(&text).into_iter().filter(|t| !t.is_text());
        assert_eq!(ours.map(|t| (t.line, t.column)).collect::<Vec<_>>(), theirs, "{}", path.display());
        checked += theirs.len();
    }
    assert!(checked > 10_000);
}

/// Text made of what is hard: quotes, braces, comments, marks, letters that take several bytes.
fn hard() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "\"",
        "'",
        "`",
        "${",
        "{",
        "}",
        "#{",
        "# {",
        "#\"",
        "\"#",
        "##",
        "\\",
        "/*",
        "*/",
        "//",
        "///",
        "//!",
        "/**",
        "\n",
        "\r",
        "\r\n",
        " ",
        "_",
        "a",
        "fn",
        "fn f(a) {",
        "import",
        ":",
        "(",
        ")",
        "let",
        "1",
        "0x",
        "1.",
        "..",
        "e+",
        "-",
        "!i",
        "!in",
        "::",
        "|",
        "@",
        "$",
        "é",
        "字",
        "\u{feff}",
        "\0",
        "\\x",
        "\\u12",
        "(*",
    ]);
    prop::collection::vec(parts, 0..24).prop_map(|parts| parts.concat())
}

fn check(text: &str) {
    let mut end = 0;
    for token in tokens(text) {
        assert!(token.start >= end, "{text:?}: {token:?}");
        assert_eq!(text.get(token.start..token.end()), Some(token.text), "{text:?}: {token:?}");
        assert!(text[end..token.start].chars().all(|c| c.is_ascii_whitespace()), "{text:?}: before {token:?}");
        assert!(!token.text.is_empty() || token.open && token.start == text.len(), "{text:?}: {token:?}");
        end = token.end();
    }
    assert!(text[end..].chars().all(|c| c.is_ascii_whitespace()), "{text:?}: behind the last");
}

proptest! {
    #[test]
    fn any_text_is_tokens_and_white_space(text in hard(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        check(&text);
        check(&String::from_utf8_lossy(&bytes));
    }
}

proptest! {
    /// What asks about source takes any text and changes nothing it was not asked to.
    #[test]
    fn any_text_can_be_asked_about(text in hard()) {
        prop_assert_eq!(&lexical::replaced(&text, "a", "a"), &text);
        prop_assert_eq!(&lexical::without_functions(&text, |_, _| false), &text);
        prop_assert!(lexical::without_functions(&text, |_, _| true).len() <= text.len());
        prop_assert_eq!(lexical::lines(&text).len(), text.lines().count());
        prop_assert_eq!(parts(&text, |_| false).into_iter().map(|(_, part)| part).collect::<String>(), text.as_str());
        let words = [lexical::declared(&text), lexical::map_keys(&text)].concat();
        prop_assert!(words.iter().all(|word| text.contains(word)));
        prop_assert!(lexical::definitions(&text).iter().all(|found| text.contains(found.name)));
        prop_assert!(end_before(&text, usize::MAX, 1).is_none_or(|(line, _)| line <= text.lines().count().max(1)));
        let _ = (lexical::imports(&text), lexical::last(&text), lexical::ends_with_function(&text));
    }
}

#[test]
fn long_lines_and_many_of_them_have_places() {
    let text = format!("{}\"{} b\\\n c\"\n{}x", "a ".repeat(40_000), "b".repeat(70_000), "\n".repeat(70_000));
    let found = tokens(&text);
    check(&text);
    assert_eq!(found.last().map(|t| (t.text, t.line, t.column)), Some(("x", 70_003, 1)));
}
