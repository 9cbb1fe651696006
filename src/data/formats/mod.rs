//! The formats that data sets come in: each file reads one, strictly, and gives the values of all images and their labels.

pub mod cifar;
mod cifar_python;
pub mod csv;
pub mod folders;
pub mod idx;
pub mod npy;
pub mod parquet;
mod pickle;
pub mod picture;
mod raw;
mod reshape;

pub use raw::{Raw, check_labels, transposed};
