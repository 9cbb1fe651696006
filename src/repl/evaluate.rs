//! One input of the prompt: documentation, a command, or code.

use super::terminal::{colours, complain};
use super::{commands, demo, help, terminal};
use crate::base::{interrupt, output};
use crate::script::explain::report::{Failure, FailureKind};
use crate::script::session::Session;

/// What became of one input.
pub(super) enum Outcome {
    /// Evaluated, its value shown.
    Done,
    /// Failed, and said so.
    Failed,
    /// `exit(code)`, or nobody reads the output any more.
    Leave(Failure),
}

pub(super) fn evaluate(session: &mut Session, input: &str) -> Outcome {
    session.set_screen(terminal::screen());
    let result = match input.trim() {
        "" => return Outcome::Done,
        "help" | "help()" | "help;" => Ok(Some(help::help(session))),
        "demo" | "demo()" | "demo;" if demo::is_free(session) => demo::run(session).map(|()| None),
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
pub(super) fn fresh() {
    if !output::closed() {
        interrupt::clear();
    }
}
