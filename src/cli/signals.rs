//! Ctrl-C: the first asks the script to stop in order, the second ends the process. SIGUSR1, which schedulers send before a time limit, asks
//! for the same, and the process ends with the code for "try again". A file that grows beyond what the
//! system allows is an error of the write, not the end of the process.

use crate::base::{interrupt, memory};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Has Ctrl-C, or SIGTERM, come before?
static BY_HAND: AtomicBool = AtomicBool::new(false);

/// Is this one of several processes, whose launcher speaks for them?
static AMONG_OTHERS: AtomicBool = AtomicBool::new(false);

/// From now on nothing is said about a request: it comes to all processes.
pub fn say_nothing() {
    AMONG_OTHERS.store(true, Ordering::Relaxed);
}

/// How `main` ends the process.
static EXIT: OnceLock<fn(i32) -> !> = OnceLock::new();

/// End the process by `exit`, where there is no way back.
pub fn end_by(exit: fn(i32) -> !) {
    let _ = EXIT.set(exit);
    memory::on_refusal(|| end(1));
}

fn end(code: i32) -> ! {
    match EXIT.get() {
        Some(exit) => exit(code),
        None => std::process::abort(),
    }
}

/// From now on, Ctrl-C (and a request of the system to end) is taken up at the next operation.
pub fn install() {
    let handler = || {
        // A scheduler that has asked by SIGUSR1 may send SIGTERM too, before the batch is over.
        if BY_HAND.swap(true, Ordering::Relaxed) && interrupt::asked() {
            end(interrupt::exit_code().into());
        }
        interrupt::request();
        if interrupt::held() && !AMONG_OTHERS.load(Ordering::Relaxed) {
            crate::base::output::note(
                "interrupted: this batch is finished, then a checkpoint is written; Ctrl-C again ends at once",
            );
        }
    };
    // Only a second handler can fail; then the first one is as good.
    let _ = ctrlc::set_handler(handler);
    #[cfg(unix)]
    // SAFETY: one signal is set to be ignored, the handler of the other stores two flags; nothing else in this process wants them.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGUSR1, on_request as *const () as libc::sighandler_t);
    }
    #[cfg(unix)]
    mask(libc::SIG_UNBLOCK);
}

/// SIGUSR1 waits, through an exec too, until [`install`] can take it up.
pub fn hold_back() {
    #[cfg(unix)]
    mask(libc::SIG_BLOCK);
}

#[cfg(unix)]
fn mask(how: libc::c_int) {
    // SAFETY: a set of this function's own; the mask is this thread's.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::pthread_sigmask(how, &set, std::ptr::null_mut());
    }
}

#[cfg(unix)]
extern "C" fn on_request(_: libc::c_int) {
    interrupt::request_for_now();
}
