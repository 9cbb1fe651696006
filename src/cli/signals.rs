//! Ctrl-C: the first asks the script to stop in order, the second ends the process. A file that grows beyond what the
//! system allows is an error of the write, not the end of the process.

use crate::base::interrupt;

/// Exit code of a process ended by Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// From now on, Ctrl-C (and a request of the system to end) is heard at the next operation.
pub fn install() {
    let handler = || {
        if interrupt::asked() {
            std::process::exit(INTERRUPTED.into());
        }
        interrupt::request();
        if interrupt::held() {
            crate::base::output::note(
                "interrupted: this batch is finished, then a checkpoint is written; Ctrl-C again ends at once",
            );
        }
    };
    // Only a second handler can fail; then the first one is as good.
    let _ = ctrlc::set_handler(handler);
    #[cfg(unix)]
    // SAFETY: a signal is set to be ignored; nothing else in this process wants it.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
