//! How much a script may take: depth of calls, length of strings, arrays and maps, memory. A script that runs away is stopped
//! with a message instead of taking the machine with it.

use crate::base::memory;

/// The limits of a session; `Default` is what holds unless the command line says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How deep functions may call each other.
    pub calls: usize,
    /// The longest string, in bytes.
    pub string: usize,
    /// The longest array or blob, in elements.
    pub array: usize,
    /// The largest map, in keys.
    pub map: usize,
    /// Memory in bytes, counted in blocks of 16 KiB and more; `None` for four fifths of the machine's.
    pub memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 64, string: 16 << 20, array: 10_000_000, map: 1_000_000, memory: None }
    }
}

/// Stack for one call of a function, however nested its expressions.
const FRAME: usize = 192 << 10;

impl Limits {
    /// How large a stack the thread has to have that runs scripts, in bytes.
    pub fn stack(&self) -> usize {
        (self.calls + 16) * FRAME
    }

    /// Hold the whole process to the limit of memory.
    pub fn hold_memory(&self) {
        memory::set_limit(self.memory.unwrap_or_else(memory::usual_limit));
    }
}

/// What is said when more memory is in use than there may be.
pub fn memory_message() -> String {
    format!(
        "out of memory: {} are in use, the limit is {}; make tensors or batches smaller, or raise the limit with \
         --max-memory",
        memory::describe(memory::in_use()),
        memory::describe(memory::limit())
    )
}
