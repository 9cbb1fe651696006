//! The values of a split: in memory, or a part of a mapped file.

use memmap2::Mmap;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A split's values: in memory, or a part of a mapped file.
#[derive(Debug, Clone)]
pub enum Values {
    Owned(Arc<Vec<u8>>),
    Mapped(Arc<Mmap>, Range<usize>),
}

impl Deref for Values {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(values) => values,
            Self::Mapped(map, range) => &map[range.clone()],
        }
    }
}

impl From<Vec<u8>> for Values {
    fn from(values: Vec<u8>) -> Self {
        Self::Owned(Arc::new(values))
    }
}
