//! What can be read in two ways is refused before a script runs, by Rhai's own tokens
//!
//! ```text
//! 2 ^ 3        not a power but bits         2 ** 3
//! -x ** 2      (-x)^2 to Rhai               -(x ** 2) or (-x) ** 2
//! 7 // 2       7, and a comment             div(7, 2), or 7 / 2
//! switch x { 0.5 => ... }                   floats are compared bit by bit there: if
//! ```

use super::divisor::divisor;
use rhai::{Engine, LexError, ParseError, ParseErrorType, Position, Token};

/// What is open: a block or the whole script, the code in a text in back-quotes, the cases of a `switch`, a map, a list or the
/// values of a call, or another pair of brackets.
#[derive(Clone, Copy, Default, PartialEq)]
enum Kind {
    #[default]
    Block,
    Interpolation,
    Cases,
    Map,
    List,
    Brackets,
}

/// What has been read of a statement, of an element, or of a case.
#[derive(Clone, Copy, Default, PartialEq)]
enum Part {
    #[default]
    Begins,
    /// A statement that ends with its block.
    WithBlock,
    /// What a `switch` compares with, before the condition and the `=>`.
    Compared,
    /// A number alone.
    Number,
    /// A name alone.
    Name,
    /// A name and what it is called with.
    Call,
    /// The parameters of a closure.
    Parameters,
    Other,
}

impl Part {
    fn after(self, token: &Token, value_ends: bool, kind: Kind) -> Part {
        match (self, token) {
            (_, Token::SemiColon) => Part::Begins,
            (Part::Parameters, Token::Pipe) => Part::Other,
            (Part::Parameters, _) => Part::Parameters,
            (_, Token::Comma) if kind == Kind::Cases => Part::Compared,
            (_, Token::Comma | Token::Colon | Token::DoubleArrow) => Part::Begins,
            (Part::Compared | Part::Begins, Token::Else | Token::Catch) => Part::WithBlock,
            (Part::Compared, Token::If) => Part::Other,
            (Part::Compared, _) => Part::Compared,
            (_, Token::Pipe) if !value_ends => Part::Parameters,
            (Part::Begins, Token::UnaryMinus) => Part::Begins,
            (
                Part::Begins,
                Token::If
                | Token::While
                | Token::For
                | Token::Loop
                | Token::Switch
                | Token::Try
                | Token::Fn
                | Token::Private
                | Token::LeftBrace,
            )
            | (Part::WithBlock, _) => Part::WithBlock,
            (Part::Begins, Token::IntegerConstant(..) | Token::FloatConstant(..)) => Part::Number,
            (Part::Begins | Part::Name, Token::Identifier(..)) | (Part::Name, Token::DoubleColon) => Part::Name,
            (Part::Name, Token::LeftParen | Token::Unit) => Part::Call,
            _ => Part::Other,
        }
    }
}

/// One bracket, block or text that is open.
#[derive(Clone, Copy, Default)]
struct Level {
    kind: Kind,
    /// The line on which it opens.
    line: usize,
    part: Part,
    /// A minus sign whose operand has not ended.
    minus: Option<Position>,
    /// `switch` has been read, and its cases come next.
    switch: bool,
}

impl Level {
    /// `width: 32 // 64`, and `conv2d(32, 3) // 2` in a list: has a number or a call alone been read of an element?
    fn holds_an_element(&self, at: Position) -> bool {
        match (self.kind, self.part) {
            (Kind::Map | Kind::Cases, Part::Number | Part::Call) | (Kind::List, Part::Call) => true,
            (Kind::List, Part::Number) => Some(self.line) != at.line(),
            _ => false,
        }
    }
}

/// The first thing in `text` that is refused, with its place. `engine` has the script's language.
pub fn check(engine: &Engine, text: &str) -> Result<(), ParseError> {
    let texts = [text];
    let (mut tokens, control) = engine.lex(&texts);
    tokens.state.include_comments = true;
    let mut levels = vec![Level::default()];
    // Names that the script uses: a comment of other words divides nothing.
    let mut names: Vec<String> = vec![];
    let (mut before, mut line, mut value_ends, mut header) = (Token::SemiColon, 0, false, false);
    for (token, at) in tokens {
        let here = at.line().unwrap_or(0);
        let depth = levels.len() - 1;
        let top = &mut levels[depth];
        if let Token::Comment(comment) = &token {
            // A comment that is never closed goes on, empty, without end.
            if comment.is_empty() {
                break;
            }
            // The parameters of a function are not divided.
            if value_ends
                && line == here
                && !header
                && let Some(rest) = divisor(engine, text, at, comment, &names, top.holds_an_element(at))
            {
                return Err(refusal(
                    at,
                    "//",
                    format!(
                        "`//` begins a comment, so `{rest}` does nothing; write div(a, b) for a whole quotient and a / b for a \
                         fraction (or, of a comment, put a word into it or two blanks before it)"
                    ),
                ));
            }
            continue;
        }
        let statement_begins = matches!(top.part, Part::Begins | Part::Compared);
        top.part = top.part.after(&token, value_ends, top.kind);
        match &token {
            Token::EOF => break,
            Token::XOr | Token::XOrAssign => {
                return Err(refusal(
                    at,
                    "^",
                    "`^` is no power: it compares bits; write `**` for a power, and `a != b` for one of two bools".into(),
                ));
            }
            Token::FloatConstant(..) if top.part == Part::Compared => {
                return Err(refusal(
                    at,
                    "switch",
                    "a float in a `switch` is compared bit by bit, and never equals a whole number; use `if`".into(),
                ));
            }
            Token::UnaryMinus => top.minus = top.minus.or(Some(at)),
            // The tokenizer takes these for a difference, the parser does not.
            Token::Minus if statement_begins || matches!(before, Token::Break | Token::Switch | Token::Custom(..)) => {
                top.minus = Some(at);
            }
            // The tokenizer makes one number of `-2`.
            Token::IntegerConstant(n) if *n < 0 => top.minus = top.minus.or(Some(at)),
            Token::FloatConstant(x) if x.0.is_sign_negative() => top.minus = top.minus.or(Some(at)),
            Token::PowerOf => {
                if let Some(minus) = top.minus {
                    return Err(refusal(
                        minus,
                        "-",
                        "`-x ** y` can be read in two ways; write `-(x ** y)` or `(-x) ** y`".into(),
                    ));
                }
            }
            Token::LeftBrace => {
                // A block is no part of the value before it, as in `if x == -1 { }`.
                if !matches!(before, Token::UnaryMinus | Token::Minus) {
                    top.minus = None;
                }
                let kind = match (&before, std::mem::take(&mut top.switch)) {
                    (Token::InterpolatedString(..), _) => Kind::Interpolation,
                    (_, true) => Kind::Cases,
                    _ => Kind::Block,
                };
                let part = if kind == Kind::Cases { Part::Compared } else { Part::Begins };
                levels.push(Level { kind, part, line: here, ..Level::default() });
                header = false;
            }
            Token::MapStart | Token::LeftParen | Token::LeftBracket | Token::QuestionBracket => {
                let kind = match token {
                    Token::MapStart => Kind::Map,
                    // `f(` and `[`, but not `2 * (` and `x[`.
                    Token::LeftParen if value_ends => Kind::List,
                    Token::LeftBracket if !value_ends => Kind::List,
                    _ => Kind::Brackets,
                };
                levels.push(Level { kind, line: here, ..Level::default() });
            }
            Token::RightBrace | Token::RightParen | Token::RightBracket => {
                if let Some(closed) = levels.pop_if(|_| depth > 0) {
                    let outer = &mut levels[depth - 1];
                    match closed.kind {
                        Kind::Interpolation => control.borrow_mut().is_within_text = true,
                        // After its block the next statement, or the next case, needs no sign before it.
                        Kind::Block | Kind::Cases if outer.part == Part::WithBlock => {
                            outer.part = if outer.kind == Kind::Cases { Part::Compared } else { Part::Begins };
                        }
                        _ => {}
                    }
                }
            }
            Token::Fn => header = true,
            Token::Switch => (top.switch, top.minus) = (true, None),
            Token::Identifier(name) if !matches!(before, Token::Period | Token::Elvis) => names.push(name.to_string()),
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
            | Token::UnaryPlus
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
        ) || token == Token::Reserved(Box::new("this".into()));
        line = here;
        before = token;
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

fn refusal(at: Position, symbol: &str, message: String) -> ParseError {
    ParseError(Box::new(ParseErrorType::BadInput(LexError::ImproperSymbol(symbol.into(), message))), at)
}

#[cfg(test)]
mod tests;
