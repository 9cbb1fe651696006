//! Standard error as a person sees it.

use std::io::{IsTerminal, Write};

/// Write to standard error; when that is gone too there is nobody left to tell.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Colours only for a person at a terminal who has not asked for none.
pub fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
