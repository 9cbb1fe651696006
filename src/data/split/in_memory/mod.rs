//! A split: images and labels in memory, kept as compact as they were stored and turned into tensors batch by batch.
//!
//! `contents` says what it holds, `parts` takes some of its images, `options` says how they come out of it (padding, augmentation, number
//! type, device), `tensors` makes tensors of them.

mod contents;
mod options;
mod parts;
mod tensors;

pub use contents::Split;
pub use options::check_dtype;
