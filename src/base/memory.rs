//! How much memory the machine can still give, asked before something large is made, since running out ends the process;
//! and how it is handed out: large blocks begin at a cache line, lie in large pages where the system has them, and stay with
//! the process when freed, since the system clears every page that it hands out.
//!
//! Large blocks, those of 16 KiB and more, are counted in the allocator, so that a script can be held to a limit: every
//! operation of a script looks at it, and the script is stopped between two of them once more is in use, and before an
//! operation where the need is known; a single operation that goes an eighth beyond ends the process with a message,
//! before the system would end it with none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes in large blocks, and how many there may be.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The most that were in use at once, since the last question began.
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Bytes in use, in blocks of 16 KiB and more.
pub fn in_use() -> u64 {
    LIVE.load(Relaxed) as u64
}

/// Forget the most that was in use so far; gives what is in use now.
pub fn reset_peak() -> u64 {
    let now = LIVE.load(Relaxed);
    PEAK.store(now, Relaxed);
    now as u64
}

/// The most bytes in use at once since [`reset_peak`], in blocks of 16 KiB and more.
pub fn peak() -> u64 {
    PEAK.load(Relaxed) as u64
}

/// How many bytes may be in use.
pub fn limit() -> u64 {
    LIMIT.load(Relaxed) as u64
}

/// From now on so many bytes may be in use.
pub fn set_limit(bytes: u64) {
    LIMIT.store(usize::try_from(bytes).unwrap_or(usize::MAX), Relaxed);
}

/// Would `more` bytes be too many?
pub fn is_beyond(more: u64) -> bool {
    in_use().saturating_add(more) > limit()
}

/// Four fifths of the machine's memory, or of what its container may have.
pub fn usual_limit() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let all = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory).min(system.total_memory());
    all / 5 * 4
}

/// Free memory in bytes, with what this process has freed and kept, which is given back first.
pub fn available_memory() -> u64 {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: a request to the C library's allocator; it takes it at any time.
    unsafe {
        libc::malloc_trim(0);
    }
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    system.available_memory()
}

/// A size in bytes as a person reads it.
pub fn describe(bytes: u64) -> String {
    if bytes >= 1 << 30 {
        format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
    } else {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    }
}

/// Keep freed memory in the process: a step's tensors then live where those of the step before lived. To be called once,
/// at the start, by the first thread while it is the only one. Without it each large tensor is mapped anew and the system
/// clears it page by page, a tenth of a step.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: two settings of the C library's allocator; it takes them at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

/// The system's allocator, with large blocks counted and aligned to cache lines: a register of 64 bytes then never straddles
/// two. A program chooses it (`#[global_allocator]`); without it nothing is counted and no limit holds.
#[derive(Debug)]
pub struct Allocator;

/// Blocks of this size and more are counted and aligned, and asked to lie in large pages.
const LARGE: usize = 16 << 10;
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;
const CACHE_LINE: usize = 64;

/// On Unix a block of any alignment is freed in the same way; elsewhere blocks stay as they are asked for.
fn aligned(layout: Layout) -> Layout {
    if cfg!(unix) && layout.size() >= LARGE { layout.align_to(CACHE_LINE).unwrap_or(layout) } else { layout }
}

/// Count `size` bytes; too many end the process.
fn count(size: usize) {
    if size >= LARGE {
        let before = LIVE.fetch_add(size, Relaxed);
        let limit = LIMIT.load(Relaxed);
        PEAK.fetch_max(before + size, Relaxed);
        if before.saturating_add(size) > limit.saturating_add(limit / 8) {
            refuse(size);
        }
    }
}

fn discount(size: usize) {
    if size >= LARGE {
        LIVE.fetch_sub(size, Relaxed);
    }
}

/// How the process ends when one operation takes far too much.
static END: OnceLock<fn() -> !> = OnceLock::new();

/// What is called when an operation goes an eighth beyond the limit, once that was said; without it the process is aborted.
pub fn on_refusal(end: fn() -> !) {
    // The first is as good as any.
    let _ = END.set(end);
}

/// Say so and go: what asked for the memory could not go on without, and the files of a run are whole at any time.
#[cold]
fn refuse(size: usize) -> ! {
    // The message itself needs memory, of which there is plenty.
    let limit = LIMIT.swap(usize::MAX, Relaxed);
    super::output::note(&format!(
        "error: out of memory: one operation needs {} more, the limit is {}; make tensors or batches smaller, or raise the \
         limit with --max-memory",
        describe(size as u64),
        describe(limit as u64)
    ));
    match END.get() {
        Some(end) => end(),
        None => std::process::abort(),
    }
}

// SAFETY: every call goes to the system's allocator, with a layout at least as strict as asked for.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise, with a layout that is at least as strict; also below.
        let block = unsafe { System.alloc(aligned(layout)) };
        large_pages(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above. Not aligned further: the C library then need not touch pages that are clear already.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        discount(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        discount(layout.size());
        // SAFETY: as above. A block that grows in place may keep its alignment; only speed hangs on it.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// A request only: where it is refused nothing is lost.
fn large_pages(block: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    if size >= HUGE && !block.is_null() {
        let from = (block as usize).next_multiple_of(HUGE);
        let to = (block as usize + size) / HUGE * HUGE;
        if to > from {
            // SAFETY: whole pages inside the block.
            unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (block, size);
}
