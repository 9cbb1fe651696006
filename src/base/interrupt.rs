//! Ctrl-C: one flag for the whole process, set by the signal handler, polled by scripts at every operation and by
//! every native loop that can run longer than a moment.
//!
//! The flag stays set until [`clear`] so that a script's `try` cannot swallow it.
//!
//! Inside a batch of training a request can wait ([`hold`]): the batch is finished, a checkpoint is written, and only then
//! the script ends. A second Ctrl-C does not wait.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);
static HELD: AtomicBool = AtomicBool::new(false);
static AGAIN: AtomicBool = AtomicBool::new(false);

/// Exit code of a process that Ctrl-C has stopped.
pub const INTERRUPTED: u8 = 130;
/// Exit code of a process that was asked to stop for now: the one of sysexits.h for "try again".
pub const TRY_AGAIN: u8 = 75;

/// What [`check`] returns as its error message; the script host recognises it and ends the run.
pub const MESSAGE: &str = "interrupted";

/// Ask everything to stop at the next opportunity.
pub fn request() {
    STOP.store(true, Ordering::Relaxed);
}

/// The same of a scheduler, which is going to start the process again. Safe in a signal's handler.
pub fn request_for_now() {
    AGAIN.store(true, Ordering::Relaxed);
    request();
}

/// The exit code of a process that has stopped as it was asked.
pub fn exit_code() -> u8 {
    if AGAIN.load(Ordering::Relaxed) { TRY_AGAIN } else { INTERRUPTED }
}

/// Forget an earlier request; the prompt does this before it reads the next input.
pub fn clear() {
    STOP.store(false, Ordering::Relaxed);
}

/// Is it time to stop? Not while a request waits for the end of a batch.
pub fn requested() -> bool {
    STOP.load(Ordering::Relaxed) && !HELD.load(Ordering::Relaxed)
}

/// Has somebody asked to stop, be it that the request waits?
pub fn asked() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Let requests wait, or no longer.
pub fn hold(on: bool) {
    HELD.store(on, Ordering::Relaxed);
}

/// Do requests wait?
pub fn held() -> bool {
    HELD.load(Ordering::Relaxed)
}

/// An error with [`MESSAGE`] once a stop was requested, for use with `?` inside native loops.
pub fn check() -> candle_core::Result<()> {
    if requested() { Err(candle_core::Error::Msg(MESSAGE.into())) } else { Ok(()) }
}
