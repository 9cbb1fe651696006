//! The threads that compute: one pool for the process, started once

/// This process's share of the processors that it may use: the part at `at` of `of` alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub at: usize,
    pub of: usize,
}

impl Default for Share {
    fn default() -> Self {
        Self { at: 0, of: 1 }
    }
}

impl Share {
    /// The processors; where there are fewer than processes, several have the same.
    pub fn processors(self) -> Vec<usize> {
        self.part(&processors())
    }

    fn part(self, all: &[usize]) -> Vec<usize> {
        let Self { at, of } = self;
        match all.len() {
            0 => vec![],
            n if n < of => vec![all[at % n]],
            n => all[at * n / of..(at + 1) * n / of].to_vec(),
        }
    }
}

/// Starts `wanted` threads; without a wish as many as RAYON_NUM_THREADS says or, without that, as the process may use
/// processors. Each keeps to a processor of its own where there are as many as threads: a woken thread that starts on a busy
/// processor waits there for milliseconds, as long as a whole convolution. Returns how many there are.
pub fn start(wanted: Option<usize>) -> Result<usize, String> {
    let threads = wanted.unwrap_or_else(usual);
    started(threads, processors())
}

/// The same for a process that shares its machine with others: without a wish, one for each processor of its share.
pub fn start_shared(wanted: Option<usize>, share: Share) -> Result<usize, String> {
    if share == Share::default() {
        return start(wanted);
    }
    let own = share.processors();
    let threads = wanted.unwrap_or_else(|| asked().unwrap_or(own.len().max(1)));
    // What several processes share is tied to none of them.
    let is_own = processors().len() >= share.of;
    started(threads, if is_own { own } else { vec![] })
}

fn started(threads: usize, processors: Vec<usize>) -> Result<usize, String> {
    let own = if threads == processors.len() { processors } else { vec![] };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(move |at| own.get(at).into_iter().for_each(|processor| keep_to(*processor)))
        .build_global()
        .map_err(|e| format!("cannot start {threads} threads: {e}"))?;
    Ok(threads)
}

fn asked() -> Option<usize> {
    std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0)
}

/// How many threads there are without a wish.
pub fn usual() -> usize {
    asked().unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// The processors that this process may use.
#[cfg(target_os = "linux")]
pub fn processors() -> Vec<usize> {
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
pub fn processors() -> Vec<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_out_the_processors_of_a_machine() {
        let part = |at, of, all: &[usize]| Share { at, of }.part(all);
        assert_eq!([part(0, 2, &[0, 1, 2, 3]), part(1, 2, &[0, 1, 2, 3])], [[0, 1], [2, 3]]);
        assert_eq!([part(0, 2, &[4, 6, 9]), part(1, 2, &[4, 6, 9])], [vec![4], vec![6, 9]]);
        assert_eq!([part(2, 4, &[0, 1]), part(3, 4, &[0, 1])], [[0], [1]]);
        assert_eq!((part(0, 1, &[5]), part(0, 3, &[])), (vec![5], vec![]));
    }
}
