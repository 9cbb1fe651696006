//! The prompt: read an input, evaluate it, show its value. What one input defines, the next can use.
//!
//! At a terminal rustyline edits and completes; fed from a pipe, it reads quietly, so that a here-document is a script.

mod commands;
mod complete;
mod cursor;
mod editor;
mod help;
mod piped;
pub mod terminal;

use crate::base::interrupt;
use crate::script::output;
use crate::script::report::{Failure, FailureKind};
use crate::script::session::Session;
use std::io::IsTerminal;
use terminal::{colours, complain};

/// Read and evaluate until the input ends. A failure is `exit(code)` or, fed from a pipe, that an input failed.
pub fn run(session: Session) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() { editor::run(session) } else { piped::run(session) }
}

/// What became of one input.
enum Outcome {
    /// Evaluated, its value shown.
    Done,
    /// Failed, and said so.
    Failed,
    /// `exit(code)`, or nobody reads the output any more.
    Leave(Failure),
}

fn evaluate(session: &mut Session, input: &str) -> Outcome {
    session.set_screen(terminal::screen());
    let result = match input.trim() {
        "" => return Outcome::Done,
        "help" | "help()" | "help;" => Ok(Some(help::help(session))),
        // `help conv2d`, `help("conv2d")`: what people type.
        text if text.starts_with("help ") || text.starts_with("help(") => {
            let name = text[4..].trim().trim_end_matches(';').trim_matches(['(', ')', '"']);
            help::about(session, name).map(Some).map_err(Failure::bare)
        }
        text if text.starts_with('?') => help::about(session, &text[1..]).map(Some).map_err(Failure::bare),
        text if text.starts_with(':') => commands::run(session, text).map(|()| None),
        _ => session.eval(input),
    };
    match result {
        Ok(Some(value)) => output::line(&value),
        Ok(None) => {}
        Err(failure) => match failure.kind {
            FailureKind::Exit(_) => return Outcome::Leave(failure),
            FailureKind::Interrupted if output::closed() => return Outcome::Leave(failure),
            _ => {
                complain(&failure.render(colours()));
                return Outcome::Failed;
            }
        },
    }
    Outcome::Done
}

/// Forget an earlier Ctrl-C: the next input starts afresh.
fn fresh() {
    if !output::closed() {
        interrupt::clear();
    }
}
