//! The rows of an evaluation, with what shows that they are as they were written.

mod digest;
mod file;
mod parquet;

pub use file::{Found, Records, Row, read};
