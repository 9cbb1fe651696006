//! Ctrl-C: one flag for the whole process, set by the signal handler, polled by scripts at every operation and by
//! every native loop that can run longer than a moment.
//!
//! The flag stays set until [`clear`] so that a script's `try` cannot swallow it.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// What [`check`] returns as its error message; the script host recognises it and ends the run.
pub const MESSAGE: &str = "interrupted";

/// Ask everything to stop at the next opportunity.
pub fn request() {
    STOP.store(true, Ordering::Relaxed);
}

/// Forget an earlier request; the prompt does this before it reads the next input.
pub fn clear() {
    STOP.store(false, Ordering::Relaxed);
}

/// Has somebody asked to stop?
pub fn requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// An error with [`MESSAGE`] once a stop was requested, for use with `?` inside native loops.
pub fn check() -> candle_core::Result<()> {
    if requested() { Err(candle_core::Error::Msg(MESSAGE.into())) } else { Ok(()) }
}
