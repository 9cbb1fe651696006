//! The prompt: read an input, evaluate it, show its value. What one input defines, the next can use.
//!
//! At a terminal rustyline edits and completes; fed from a pipe, it reads quietly, so that a here-document is a script.

mod editor;
mod piped;
pub mod terminal;

use crate::compute::interrupt;
use crate::script::output;
use crate::script::report::{Failure, FailureKind};
use crate::script::session::Session;
use std::io::IsTerminal;
use terminal::{colours, complain};

const HELP: &str = "\
Type Rhai: a value is shown, variables, functions and imports stay.
  let t = tensor([1.0, 2.0]);     a `;` at the end hides the value
  fn double(x) { 2 * x }          a function; type it again to change it
  import \"std/local_lip\" as lip;  a module
An open bracket continues on the next line; an empty line ends the input anyway. Tab completes names.
Ctrl-C drops the input or stops what runs, Ctrl-D leaves.";

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
    match input.trim() {
        "" => return Outcome::Done,
        "help" | "help()" | "help;" => {
            output::line(HELP);
            return Outcome::Done;
        }
        _ => {}
    }
    match session.eval(input) {
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
