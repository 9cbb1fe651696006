//! Data sets: manifests, finding and strictly reading their files, splits, batches, augmentation.
//!
//! [`Dataset::load`] gives two [`Split`]s; [`Split::batches`] gives tensors. What is not exactly as the manifest says is
//! an [`enum@Error`] that names the file, what was expected and what was found. Nothing here knows of networks.

mod arrange;
mod arrays;
mod beside;
mod dataset;
mod digest;
mod error;
mod file_error;
mod formats;
mod manifest;
mod open;
mod options;
mod own;
mod read;
mod share;
pub mod sheet;
pub mod source;
mod split;
mod values;

pub use arrays::{Arrays, labels};
pub use beside::check_ratio;
pub use dataset::Dataset;
pub use digest::{of_bytes as sha256, of_content as digest_of};
pub use error::{Error, Result};
pub use file_error::FileError;
pub use manifest::built_in::names;
pub use manifest::{Fit, Format, Manifest, Normalisation, Pictures, PlainName, SplitFiles, Splits, Wanted, is_path};
pub use options::Options;
pub use share::Share;
pub use source::{fetch, hub, recognise};
pub use split::{Augmentation, Batch, BatchOrder, Batches, RandAugment, Split};
