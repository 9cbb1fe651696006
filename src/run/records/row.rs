//! A row of records.

use serde_json::{Map, Value};

/// A row, a header: values by name, sorted by it.
pub type Row = Map<String, Value>;

/// The image that the row is of; -1 if it does not say.
pub fn index(row: &Row) -> i64 {
    row.get("index").and_then(Value::as_i64).unwrap_or(-1)
}

/// A row in messages.
pub fn named(row: &Row) -> String {
    match index(row) {
        -1 => "a row without an index".into(),
        index => format!("the row of image {index}"),
    }
}
