//! The formats that data sets come in: each file reads one, strictly, and gives the values of all images and their labels.

pub mod cifar;
pub mod csv;
pub mod folders;
pub mod idx;
pub mod npy;
pub mod parquet;
pub mod picture;
mod raw;

pub use raw::{Raw, check_labels};
