//! The store of power-iteration vectors: kept from one visit of a training image to the next.

mod batch;
mod buffer;
pub mod device_rows;
mod fresh;
pub mod places;
mod saved;
mod store;
mod whole;

pub use batch::BatchVectors;
pub use fresh::fresh_vectors;
pub use saved::{Part, WeakVectors};
pub use store::{Vectors, VectorsOptions};
