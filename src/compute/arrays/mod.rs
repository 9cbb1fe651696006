//! Arrays of numbers as files hold them: NumPy's .npy and .npz, and IDX.
//!
//! A header is read before any value, so that its shape can be compared with what is wanted; values take as much memory as
//! there is of them, never what a header promises.

mod array;
pub mod idx;
pub mod npy;
pub mod npz;

pub use array::{Array, Kind, Layout};
