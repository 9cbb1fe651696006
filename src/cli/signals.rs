//! Ctrl-C: the first asks the script to stop in order, the second ends the process.

use crate::compute::interrupt;

/// Exit code of a process ended by Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// From now on, Ctrl-C (and a request of the system to end) is heard at the next operation.
pub fn install() {
    let handler = || {
        if interrupt::requested() {
            std::process::exit(INTERRUPTED.into());
        }
        interrupt::request();
    };
    // Only a second handler can fail; then the first one is as good.
    let _ = ctrlc::set_handler(handler);
}
