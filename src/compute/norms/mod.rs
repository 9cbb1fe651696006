//! Sums and norms over channels, over the rows of a matrix, over the samples of a batch.

pub mod channels;
pub mod gpu;
mod product;
pub mod rows;
pub mod samples;

pub use product::norm_product;
