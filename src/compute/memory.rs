//! How much memory the machine can still give, asked before something large is made, since running out ends the process;
//! and how it is handed out: large blocks begin at a cache line, lie in large pages where the system has them, and stay with
//! the process when freed, since the system clears every page that it hands out.

use candle_core::Device;
#[cfg(unix)]
use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes that can still be taken where `device` keeps its tensors.
pub fn available_on(device: &Device) -> u64 {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device
        && let Ok((free, _)) = device.cuda_stream().context().mem_get_info()
    {
        return free as u64;
    }
    let _ = device;
    available_memory()
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
/// at the start. Without it each large tensor is mapped anew and the system clears it page by page, a tenth of a step.
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

#[cfg(unix)]
/// The system's allocator, with large blocks aligned to cache lines: a register of 64 bytes then never straddles two.
struct Aligned;

#[cfg(unix)]
/// Blocks of this size and more are aligned, and asked to lie in large pages.
const LARGE: usize = 16 << 10;
#[cfg(unix)]
const HUGE: usize = 2 << 20;
#[cfg(unix)]
const CACHE_LINE: usize = 64;

#[cfg(unix)]
fn aligned(layout: Layout) -> Layout {
    match layout.size() {
        0..LARGE => layout,
        _ => layout.align_to(CACHE_LINE).unwrap_or(layout),
    }
}

// SAFETY: every call goes to the system's allocator, with a layout at least as strict as asked for. On Unix a block of any
// alignment is freed in the same way.
#[cfg(unix)]
unsafe impl GlobalAlloc for Aligned {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, with a layout that is at least as strict; also below.
        let block = unsafe { System.alloc(aligned(layout)) };
        large_pages(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above. Not aligned further: the C library then need not touch pages that are clear already.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above. A block that grows in place may keep its alignment; only speed hangs on it.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[cfg(unix)]
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

#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: Aligned = Aligned;
