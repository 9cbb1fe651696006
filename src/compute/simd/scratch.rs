//! Working memory that a thread keeps from one picture to the next: aligned, and never given back to the system, which
//! would have to clear each page of it anew.

use super::lines::Line;
use std::cell::RefCell;

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `sizes.len()` buffers of this thread, of these many lines each. What is in them is arbitrary: earlier
/// work's numbers.
pub fn with_lines<const N: usize, R>(sizes: [usize; N], work: impl FnOnce([&mut [Line]; N]) -> R) -> R {
    // Taken out while in use: work that needs buffers within work gets its own.
    let mut own = LINES.take();
    let total = sizes.iter().sum();
    if own.len() < total {
        own.resize(total, Line::default());
    }
    let mut rest = own.as_mut_slice();
    let parts = sizes.map(|n| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(n);
        rest = others;
        part
    });
    let result = work(parts);
    LINES.set(own);
    result
}
