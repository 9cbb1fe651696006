//! The threads that compute: one pool for the process, started once

/// Starts `wanted` threads; without a wish as many as RAYON_NUM_THREADS says or, without that, as the process may use
/// processors. Each keeps to a processor of its own where there are as many as threads: a woken thread that starts on a busy
/// processor waits there for milliseconds, as long as a whole convolution. Returns how many there are.
pub fn start(wanted: Option<usize>) -> Result<usize, String> {
    let threads = wanted.unwrap_or_else(usual);
    let processors = processors();
    let own = if threads == processors.len() { processors } else { vec![] };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(move |at| own.get(at).into_iter().for_each(|processor| keep_to(*processor)))
        .build_global()
        .map_err(|e| format!("cannot start {threads} threads: {e}"))?;
    Ok(threads)
}

/// How many threads there are without a wish.
pub fn usual() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// The processors that this process may use.
#[cfg(target_os = "linux")]
fn processors() -> Vec<usize> {
    // SAFETY: the set is plain bits, filled by the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return vec![];
        }
        (0..libc::CPU_SETSIZE as usize).filter(|at| libc::CPU_ISSET(*at, &set)).collect()
    }
}

#[cfg(not(target_os = "linux"))]
fn processors() -> Vec<usize> {
    vec![]
}

/// A request: where it is refused the thread runs anywhere.
#[cfg(target_os = "linux")]
fn keep_to(processor: usize) {
    // SAFETY: as above, for the calling thread.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

#[cfg(not(target_os = "linux"))]
fn keep_to(_: usize) {}
