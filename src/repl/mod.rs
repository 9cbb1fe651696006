//! The prompt: read an input, evaluate it, show its value. What one input defines, the next can use.
//!
//! At a terminal rustyline edits and completes; fed from a pipe, it reads quietly, so that a here-document is a script.

mod commands;
mod complete;
mod cursor;
mod demo;
mod editor;
mod evaluate;
mod help;
mod piped;
pub mod terminal;

use crate::script::explain::report::Failure;
use crate::script::session::Session;
use std::io::IsTerminal;

/// Read and evaluate until the input ends. A failure is `exit(code)` or, fed from a pipe, that an input failed.
pub fn run(session: Session) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() { editor::run(session) } else { piped::run(session) }
}
