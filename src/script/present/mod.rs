//! How the prompt shows a value: what kind it is, what a person looks for in it, and no more than fits the screen.

mod bounds;
mod brief;
mod tables;
mod tensor;
mod value;
pub mod weights;

pub use brief::brief;
pub use tensor::one_line;
pub use value::{kind, shown};
