//! Where the numbers of a file lie, whatever its format.

use super::value::{Outcome, Storage};
use std::borrow::Cow;

/// A pickle takes some 200 bytes per tensor and up to a hundred times its size in memory.
pub const LONGEST_PICKLE: u64 = 4 << 20;

/// The numbers of storages.
pub trait Storages {
    fn bytes(&mut self, storage: &Storage) -> Outcome<Cow<'_, [u8]>>;
}
