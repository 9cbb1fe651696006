//! Errors that natives return to a script, and the two ways a script ends that are no error.

use crate::base::{error, interrupt};
use rhai::{Dynamic, EvalAltResult, Position};

/// What every native that can fail returns.
pub type Res<T> = Result<T, Box<EvalAltResult>>;

/// The script asked to end with this exit code.
#[derive(Clone, Copy, Debug)]
pub struct ExitCode(pub i32);

/// Ctrl-C, or the reader of the output went away.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted;

/// The script cannot go on: it has taken more memory than it may, or its record cannot be written; with what to say.
#[derive(Clone, Debug)]
pub struct Stopped(pub String);

/// An error with `message`, to be returned by a native function. It carries no position: Rhai fills in the call's.
pub fn fail(message: impl Into<String>) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE))
}

/// The end of a script that was interrupted; `try` cannot catch it.
pub fn interrupted() -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(Interrupted), Position::NONE))
}

/// The end of a script by `exit(code)`; `try` cannot catch it.
pub fn exit(code: i32) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(ExitCode(code)), Position::NONE))
}

/// candle's error without its backtrace; an interrupted native loop becomes an interrupted script. For `map_err`.
pub fn candle(error: candle_core::Error) -> Box<EvalAltResult> {
    let message = error::message(&error);
    if let Some(thrown) = super::thrown::thrown(&message) {
        return thrown;
    }
    if message == interrupt::MESSAGE || message.ends_with(": interrupted") { interrupted() } else { fail(message) }
}
