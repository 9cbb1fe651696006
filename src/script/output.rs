//! What a script prints: one line at a time to standard output, and a quiet end when nobody reads it any more.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Write `text` and a newline to standard output. When the reader has gone (`workbench ... | head`), ask the run to
/// stop, so that it ends in order instead of by a panic.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        CLOSED.store(true, Ordering::Relaxed);
        crate::compute::interrupt::request();
    }
}

/// Has the reader of standard output gone?
pub fn closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}
