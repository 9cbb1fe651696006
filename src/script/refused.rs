//! What can be read in two ways is refused before a script runs, by Rhai's own tokens
//!
//! ```text
//! 2 ^ 3        not a power but bits         2 ** 3
//! -x ** 2      (-x)^2 to Rhai               -(x ** 2) or (-x) ** 2
//! 7 // 2       7, and a comment             div(7, 2), or 7 / 2
//! switch x { 0.5 => ... }                   floats are compared bit by bit there: if
//! ```

use rhai::{Engine, LexError, ParseError, ParseErrorType, Position, Token};

/// One bracket, block or text that is open.
#[derive(Clone, Copy, Default)]
struct Level {
    /// A minus sign whose operand has not ended.
    minus: Option<Position>,
    /// The part of a text in back-quotes that is code.
    interpolation: bool,
    /// The cases of a `switch`.
    cases: bool,
}

/// The first thing in `text` that is refused, with its place. `engine` has the script's language.
pub fn check(engine: &Engine, text: &str) -> Result<(), ParseError> {
    let texts = [text];
    let (mut tokens, control) = engine.lex(&texts);
    tokens.state.include_comments = true;
    let mut levels = vec![Level::default()];
    let (mut opens_text, mut switch, mut line, mut value_ends, mut case_begins) = (false, false, 0, false, false);
    for (token, at) in tokens {
        let here = at.line().unwrap_or(0);
        let depth = levels.len() - 1;
        let top = &mut levels[depth];
        let case = top.cases && case_begins;
        match &token {
            Token::EOF => break,
            Token::Comment(comment) => {
                if value_ends && line == here && looks_like_a_divisor(engine, text, at, comment) {
                    let rest = comment.trim_start_matches('/').trim();
                    return Err(refusal(
                        at,
                        "//",
                        format!(
                            "`//` begins a comment, so `{rest}` does nothing; write div(a, b) for a whole quotient and a / b for \
                             a fraction (or, of a comment, put a word into it)"
                        ),
                    ));
                }
                continue;
            }
            Token::XOr | Token::XOrAssign => {
                return Err(refusal(
                    at,
                    "^",
                    "`^` is no power: it compares bits; write `**` for a power, and `a != b` for one of two bools".into(),
                ));
            }
            Token::UnaryMinus => top.minus = top.minus.or(Some(at)),
            // The tokenizer makes one number of `-2`.
            Token::IntegerConstant(n) if *n < 0 => top.minus = top.minus.or(Some(at)),
            Token::FloatConstant(x) if x.0.is_sign_negative() && !case => top.minus = top.minus.or(Some(at)),
            Token::PowerOf => {
                if let Some(minus) = top.minus {
                    return Err(refusal(
                        minus,
                        "-",
                        "`-x ** y` can be read in two ways; write `-(x ** y)` or `(-x) ** y`".into(),
                    ));
                }
            }
            Token::FloatConstant(..) if case => {
                return Err(refusal(
                    at,
                    "switch",
                    "a float in a `switch` is compared bit by bit, and never equals a whole number; use `if`".into(),
                ));
            }
            Token::InterpolatedString(..) => opens_text = true,
            Token::Switch => switch = true,
            Token::LeftBrace => {
                levels.push(Level { interpolation: opens_text, cases: switch, minus: None });
                (opens_text, switch) = (false, false);
            }
            Token::MapStart | Token::LeftParen | Token::LeftBracket | Token::QuestionBracket => {
                levels.push(Level::default());
            }
            Token::RightBrace | Token::RightParen | Token::RightBracket => {
                if levels.len() > 1 && levels.pop().is_some_and(|level| level.interpolation) {
                    control.borrow_mut().is_within_text = true;
                }
            }
            // What may stand between a minus sign and the power that takes it: a value with its calls, elements and properties.
            Token::Identifier(..)
            | Token::IntegerConstant(..)
            | Token::FloatConstant(..)
            | Token::StringConstant(..)
            | Token::CharConstant(..)
            | Token::Reserved(..)
            // `()`, also of a call.
            | Token::Unit
            | Token::Period
            | Token::Elvis
            | Token::DoubleColon
            | Token::Bang => {}
            _ => top.minus = None,
        }
        value_ends = matches!(
            token,
            Token::Identifier(..)
                | Token::IntegerConstant(..)
                | Token::FloatConstant(..)
                | Token::RightParen
                | Token::RightBracket
                | Token::Unit
        );
        case_begins = matches!(token, Token::LeftBrace | Token::Comma | Token::Pipe);
        line = here;
    }
    Ok(())
}

/// The lines on which two whole numbers may be divided: what `/` gives there is another number in the arithmetic of before 0.2. A
/// float on either side makes no difference.
pub fn divisions(engine: &Engine, text: &str) -> Vec<usize> {
    let texts = [text];
    let (tokens, control) = engine.lex(&texts);
    let (mut lines, mut before_is_float, mut divided, mut opens_text) = (vec![], false, None, false);
    let mut levels = vec![false];
    for (token, at) in tokens {
        let is_float = matches!(token, Token::FloatConstant(..));
        if let Some(line) = divided.take().filter(|_| !is_float) {
            lines.push(line);
        }
        match token {
            Token::EOF => break,
            Token::Divide | Token::DivideAssign if !before_is_float => divided = at.line(),
            Token::InterpolatedString(..) => opens_text = true,
            Token::LeftBrace => levels.push(std::mem::take(&mut opens_text)),
            Token::MapStart => levels.push(false),
            Token::RightBrace if levels.pop().unwrap_or(false) => control.borrow_mut().is_within_text = true,
            _ => {}
        }
        before_is_float = is_float;
    }
    lines.dedup();
    lines
}

/// Is the comment at `at` what would stand behind a division sign: a number, or one value and the end of a statement, close
/// behind the value before it? A comment that is set apart by blanks, as one numbers lines, is a comment.
fn looks_like_a_divisor(engine: &Engine, text: &str, at: Position, comment: &str) -> bool {
    let Some(rest) = comment.strip_prefix("//").filter(|rest| !rest.starts_with(['/', '!'])) else { return false };
    let (Some(line), Some(column)) = (at.line(), at.position()) else { return false };
    let before: String = text.lines().nth(line - 1).unwrap_or("").chars().take(column - 1).collect();
    if before.ends_with("  ") || before.ends_with('\t') || rest.starts_with("  ") {
        return false;
    }
    let rest = rest.trim();
    let value = rest.trim_end_matches([';', ',', ')', ']']);
    let number = !value.is_empty() && value.parse::<f64>().is_ok_and(f64::is_finite);
    let one_value = value.len() < rest.len() && !value.contains(' ') && engine.compile_expression(value).is_ok();
    number || one_value
}

fn refusal(at: Position, symbol: &str, message: String) -> ParseError {
    ParseError(Box::new(ParseErrorType::BadInput(LexError::ImproperSymbol(symbol.into(), message))), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<(usize, usize)> {
        let mut engine = Engine::new();
        engine.register_custom_operator("@", 170).unwrap();
        let error = check(&engine, text).err()?;
        Some((error.1.line().unwrap(), error.1.position().unwrap()))
    }

    #[test]
    fn what_reads_in_two_ways_is_refused_where_it_stands() {
        for (text, column) in [
            ("2 ^ 3", 3),
            ("let x = 2; x ^= 3;", 14),
            ("let x = 3; -x ** 2", 12),
            ("-2 ** 2", 1),
            ("-2.5 ** 2", 1),
            ("a - -b ** 2", 5),
            ("-f(x)[1].y ** 2", 1),
            ("-m::f(x) ** 2", 1),
            ("-x.abs() ** 2", 1),
            ("let h = l.len() // 2;", 17),
            ("`${-x ** 2}`", 4),
            ("`a ${ `b ${1}` } ${#{ a: 2 ^ 1 }} c`", 28),
            ("let h = n // 2;", 11),
            ("f(7 // 2)\n)", 5),
            ("[7 // 2\n]", 4),
            ("let h = n // width;", 11),
            ("switch x { 1.0 => 2, _ => 3 }", 12),
            ("switch x { 1 => 2, 3 | 0.5 => 3 }", 24),
        ] {
            assert_eq!(refused(text), Some((1, column)), "{text}");
        }
    }

    #[test]
    fn divisions_of_what_may_be_whole_are_found() {
        let text = "let a = 1 / 2;\nlet b = 1.0 / 2;\nlet c = x / 2.0;\n`${x / y}`;\n// 1 / 2\nlet m = #{ a: x }; m.a /= 2; m.a / 3";
        assert_eq!(divisions(&Engine::new(), text), [1, 4, 6]);
    }

    #[test]
    fn what_reads_in_one_way_passes() {
        for text in [
            "(-x) ** 2",
            "-(x ** 2)",
            "a - b ** 2",
            "1 - 2 ** 2",
            "2 ** -1",
            "[-1, 2 ** 2]",
            "f(-1, x ** 2)",
            "-x * y ** 2",
            "-x; y ** 2",
            "let a = 3 // the width\n;",
            "x // batch",
            "x; // 2",
            "let l = [\n  conv2d(32, 3),  // 1\n  linear(10)      // 2\n];",
            "`a ^ b // 2`",
            "#\"2 ^ 3\"#",
            "/* 2 ^ 3 */ 1",
            "let u = \"https://x\";",
            "if -x > y ** 2 {}",
            "/// -x ** 2\nfn f() {}",
            "let a = -x\n + y ** 2",
            "switch x { 1 => 1.0, 2 if y > 1.0 => 2 }",
            "x ** 2 - 1",
            "a[-1] ** 2",
            "a @ b",
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
    }
}
