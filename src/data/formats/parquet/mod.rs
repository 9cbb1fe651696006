//! Parquet as the hub and others keep image sets: one row for each image, the bytes of its picture file in a column, or in the
//! field `bytes` of one, its label in a column of whole numbers or of the names of classes
//!
//! Read by column chunks. Rows are counted before they are read and a picture's size is checked before it is decoded; a
//! chunk that says it unpacks to more than a mebibyte for each row is refused, and so is a page that unpacks to more than it says.

mod columns;
mod errors;
mod pages;
mod rows;

pub use rows::{Columns, count, describe, load, names};
