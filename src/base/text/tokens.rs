//! Rhai source as tokens with their places, read by Rhai's own tokenizer, comments included.
//!
//! Nothing else in the program scans Rhai source: what is a string, a comment or a template's code for Rhai is that for
//! messages, completion, colours, the prompt's `_` and the search for imports.
//!
//! Error messages, completion, colours and the prompt look at text that need not parse: an input that is still typed, a
//! file with a mistake in it. Whatever the text, the tokens stand in order, do not overlap, and between them is white
//! space only. Rhai's tokens know where they begin but not where they end, so [`get_next_token`], which [`rhai::Engine::lex`]
//! calls, reads from a stream of ours that counts bytes. What the parser would tell the tokenizer is told here: at which
//! `}` the text of a template goes on.

use rhai::{InputStream, LexError, Position, Token as Rhai, TokenizeState, get_next_token};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a word of the language.
    Word,
    /// A number, with its sign where it cannot be a subtraction.
    Number,
    /// A string or character in its quotes; of a template the text up to its first `{`.
    Text,
    /// The text of a template behind a `}`, to its end or its next `{`.
    Continued,
    /// A comment; of a line, without the line's end.
    Comment,
    /// An operator, a bracket, a mark; also what is no Rhai at all.
    Sign,
}

/// A token of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// As it is written.
    pub text: &'a str,
    /// The byte at which it begins.
    pub start: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Is it a text without its closing quote, or a comment that what is typed next would belong to?
    pub open: bool,
}

impl Token<'_> {
    /// The byte behind it.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Line and column of its last character.
    pub fn last_place(&self) -> (usize, usize) {
        let before = self.text.char_indices().next_back().map_or("", |(last, _)| &self.text[..last]);
        moved(self.line, self.column, before)
    }

    /// Is it a string, a character or a part of a template?
    pub fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Continued)
    }

    /// The value of a string as written in one piece, escapes read.
    pub fn string(&self) -> Option<String> {
        if self.kind != Kind::Text || self.open {
            return None;
        }
        let (mut source, mut state) = (Source { text: self.text, at: 0 }, TokenizeState::default());
        match get_next_token(&mut source, &mut state, &mut Position::new(1, 0)).0 {
            // The beginning of a template would go on.
            Rhai::StringConstant(value) if state.is_within_text_terminated_by.is_none() => Some(value.to_string()),
            _ => None,
        }
    }

    /// Is it a comment that documents the function behind it?
    pub fn is_doc_comment(&self) -> bool {
        let begins = |long: &str, longer: &str| self.text.starts_with(long) && !self.text.starts_with(longer);
        self.kind == Kind::Comment && (begins("///", "////") || begins("/**", "/***"))
    }
}

/// All tokens of `text`. The last one is `open` if the text ends inside a string, a template or a comment; it is empty where
/// a template goes on and nothing of it is there yet.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer =
        Lexer { source: Source { text, at: 0 }, state: TokenizeState::default(), braces: vec![], in_braces: false };
    let (mut found, mut line, mut column, mut counted) = (vec![], 1, 1, 0);
    while let Some((kind, start, open)) = lexer.next() {
        (line, column) = moved(line, column, &text[counted..start]);
        counted = start;
        found.push(Token { kind, text: &text[start..lexer.source.at], start, line, column, open });
    }
    found
}

/// The tokens of `text` that are no comments.
pub fn code(text: &str) -> Vec<Token<'_>> {
    let mut found = tokens(text);
    found.retain(|token| token.kind != Kind::Comment);
    found
}

/// Where a line and a column are after `text`.
fn moved(line: usize, column: usize, text: &str) -> (usize, usize) {
    match text.rsplit_once('\n') {
        Some((before, last)) => (line + 1 + before.matches('\n').count(), 1 + last.chars().count()),
        None => (line, column + text.chars().count()),
    }
}

/// What Rhai's tokenizer reads from.
struct Source<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Source<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

impl InputStream for Source<'_> {
    /// Only what was read last is given back.
    fn unget(&mut self, c: char) {
        self.at -= c.len_utf8();
    }

    fn get_next(&mut self) -> Option<char> {
        let next = self.peek_next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn peek_next(&mut self) -> Option<char> {
        self.rest().chars().next()
    }
}

struct Lexer<'a> {
    source: Source<'a>,
    state: TokenizeState,
    /// The open braces; is it one of a template's?
    braces: Vec<bool>,
    /// Does a template's brace come next?
    in_braces: bool,
}

impl Lexer<'_> {
    /// The next token: what it is, where it begins, whether it is open. It ends where the source stands.
    fn next(&mut self) -> Option<(Kind, usize, bool)> {
        if self.state.is_within_text_terminated_by.is_none() {
            let rest = self.source.rest();
            self.source.at += rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
            if self.source.rest().starts_with("//") || self.source.rest().starts_with("/*") {
                return Some(self.comment());
            }
        }
        let start = self.source.at;
        let text = if self.state.is_within_text_terminated_by.is_some() { Kind::Continued } else { Kind::Text };
        // Lines and columns are counted in `tokens`: Rhai's end at 65535.
        let (token, _) = get_next_token(&mut self.source, &mut self.state, &mut Position::new(1, 0));
        let quoted = self.source.text[start..].starts_with(['"', '\'']);
        match token {
            Rhai::EOF => return None,
            Rhai::StringConstant(_) => {
                // A text that ran to the end. If a template's, it would go on.
                let open = self.state.is_within_text_terminated_by.take().is_some();
                return Some((text, start, open));
            }
            Rhai::InterpolatedString(_) => {
                self.in_braces = true;
                return Some((text, start, false));
            }
            Rhai::CharConstant(_) => return Some((text, start, false)),
            Rhai::LexError(error) if quoted || *error == LexError::UnterminatedString => {
                return Some((text, start, self.broken_text(start)));
            }
            Rhai::LeftBrace | Rhai::MapStart => self.braces.push(std::mem::take(&mut self.in_braces)),
            // A slip for `#{` that Rhai knows.
            Rhai::Reserved(sign) if *sign == "# {" => self.braces.push(false),
            // What follows is text again, which the parser would have said.
            Rhai::RightBrace if self.braces.pop() == Some(true) => {
                self.state.is_within_text_terminated_by = Some("`".into());
            }
            _ => {}
        }
        let digits = self.source.text[start..self.source.at].trim_start_matches('-');
        let kind = match digits.chars().next() {
            Some(c) if c.is_ascii_digit() => Kind::Number,
            Some(c) if c.is_ascii_alphabetic() || c == '_' => Kind::Word,
            _ => Kind::Sign,
        };
        Some((kind, start, false))
    }

    /// Rhai leaves out some comments, as `//!` ones, so their ends are found here.
    fn comment(&mut self) -> (Kind, usize, bool) {
        let (start, rest) = (self.source.at, self.source.rest());
        if rest.starts_with("//") {
            let length = rest.find(['\r', '\n']);
            self.source.at += length.unwrap_or(rest.len());
            return (Kind::Comment, start, length.is_none());
        }
        // Rhai takes the star of `/**` for a part of its beginning.
        self.source.at += if rest.starts_with("/**") { 3 } else { 2 };
        let unary = self.state.next_token_cannot_be_unary;
        (self.state.comment_level, self.state.include_comments) = (1, true);
        let _ = get_next_token(&mut self.source, &mut self.state, &mut Position::new(1, 0));
        let open = std::mem::take(&mut self.state.comment_level) > 0;
        self.state.next_token_cannot_be_unary = unary;
        (Kind::Comment, start, open)
    }

    /// The end of a text that Rhai refuses: at its quote, or where its line ends. Is it open?
    fn broken_text(&mut self, start: usize) -> bool {
        self.state.is_within_text_terminated_by = None;
        let text = &self.source.text[start..];
        let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
        let mut escaped = false;
        for (i, c) in text.char_indices().skip(1) {
            match c {
                '\r' => {}
                // Only a string goes on behind a `\` at the end of its line.
                '\n' if !escaped || quote == Some('\'') => {
                    self.source.at = start + text[..i].trim_end_matches('\r').len();
                    return true;
                }
                c if Some(c) == quote && !escaped => {
                    self.source.at = start + i + 1;
                    return false;
                }
                c => escaped = c == '\\' && !escaped,
            }
        }
        self.source.at = self.source.text.len();
        true
    }
}
