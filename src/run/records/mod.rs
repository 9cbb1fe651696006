//! The rows of an evaluation, with what shows that they are as they were written.

mod digest;
mod file;
mod found;
mod parquet;
mod row;

pub use file::Records;
pub use found::{Found, read};
pub use row::Row;
