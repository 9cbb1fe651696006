//! What is printed: one line at a time to standard output; when its reader goes away (`workbench run x | head -1`) everything is
//! asked to stop, as by Ctrl-C, so that a training ends with a checkpoint.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Write `text` and a newline to standard output, or ask to stop if nobody reads it any more.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        CLOSED.store(true, Ordering::Relaxed);
        super::interrupt::request();
    }
}

/// Has the reader of standard output gone?
pub fn closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Write `text` and a newline to standard error; that nobody reads it stops nothing.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
