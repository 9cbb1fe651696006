//! candle's errors as one line a person can read.

use candle_core::Error;

/// The bare message of `error`. candle wraps errors in a backtrace when RUST_BACKTRACE is set, and in a list of
/// contexts and paths; a user of a script wants none of the former.
pub fn message(error: &Error) -> String {
    match error {
        Error::WithBacktrace { inner, .. } => message(inner),
        Error::Context { inner, context } => format!("{context}: {}", message(inner)),
        Error::WithPath { inner, path } => format!("{}: {}", path.display(), message(inner)),
        other => other.to_string(),
    }
}
