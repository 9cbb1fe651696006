//! Rows as a Parquet file: one optional column for each name, of the type that its values have (whole numbers, numbers, texts,
//! truth values); null where a row has none. What the rows are of stands in the file's metadata: `workbench` has all of it as JSON,
//! and each entry of the header has its own key, `workbench.eps` and so on.

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
    Text,
    Bool,
}

fn kind(value: &Value) -> Option<Kind> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some(Kind::Bool),
        Value::Number(n) if n.is_i64() => Some(Kind::Int),
        Value::Number(_) => Some(Kind::Float),
        _ => Some(Kind::Text),
    }
}

/// The bytes of the file. What is neither a number nor a truth value nor null is written as its text.
pub fn encode(header: &Map<String, Value>, rows: &[Map<String, Value>]) -> Result<Vec<u8>, String> {
    let failed = |e: parquet::errors::ParquetError| format!("records: Parquet: {e}");
    let mut columns: BTreeMap<&str, Option<Kind>> = BTreeMap::new();
    for (name, value) in rows.iter().flatten() {
        let merged = match (columns.get(name.as_str()).copied().flatten(), kind(value)) {
            (before, None) => before,
            (None, found) => found,
            (Some(before), Some(found)) if before == found => Some(found),
            (Some(Kind::Int | Kind::Float), Some(Kind::Int | Kind::Float)) => Some(Kind::Float),
            _ => Some(Kind::Text),
        };
        columns.insert(name, merged);
    }
    // What is null throughout is a number that nobody needed.
    let columns: BTreeMap<&str, Kind> =
        columns.into_iter().map(|(name, kind)| (name, kind.unwrap_or(Kind::Float))).collect();
    let field = |(name, kind): (&&str, &Kind)| {
        let physical = match kind {
            Kind::Int => Physical::INT64,
            Kind::Float => Physical::DOUBLE,
            Kind::Text => Physical::BYTE_ARRAY,
            Kind::Bool => Physical::BOOLEAN,
        };
        let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        let builder = if *kind == Kind::Text { builder.with_converted_type(ConvertedType::UTF8) } else { builder };
        builder.build().map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let schema = Arc::new(Type::group_type_builder("record").with_fields(fields).build().map_err(failed)?);
    // Snappy is what every reader has. Who wrote the file says nothing of the crate's version, so bytes stay the same.
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("workbench ", env!("CARGO_PKG_VERSION")).to_string())
        .set_key_value_metadata(Some(metadata(header)))
        .build();
    let mut bytes = vec![];
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).map_err(failed)?;
    let mut group = writer.next_row_group().map_err(failed)?;
    for (name, kind) in &columns {
        let Some(mut column) = group.next_column().map_err(failed)? else { break };
        let values: Vec<Option<&Value>> = rows.iter().map(|row| row.get(*name).filter(|v| !v.is_null())).collect();
        write(&mut column, *kind, &values).map_err(failed)?;
        column.close().map_err(failed)?;
    }
    group.close().map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(bytes)
}

fn metadata(header: &Map<String, Value>) -> Vec<KeyValue> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let all = KeyValue::new("workbench".to_string(), Value::Object(header.clone()).to_string());
    let each = header.iter().map(|(key, value)| KeyValue::new(format!("workbench.{key}"), text(value)));
    std::iter::once(all).chain(each).collect()
}

fn write(column: &mut SerializedColumnWriter, kind: Kind, values: &[Option<&Value>]) -> parquet::errors::Result<()> {
    let levels: Vec<i16> = values.iter().map(|v| i16::from(v.is_some())).collect();
    let there = values.iter().flatten();
    match kind {
        Kind::Int => {
            let list: Vec<i64> = there.filter_map(|v| v.as_i64()).collect();
            column.typed::<Int64Type>().write_batch(&list, Some(&levels), None)
        }
        Kind::Float => {
            let list: Vec<f64> = there.filter_map(|v| v.as_f64()).collect();
            column.typed::<DoubleType>().write_batch(&list, Some(&levels), None)
        }
        Kind::Bool => {
            let list: Vec<bool> = there.filter_map(|v| v.as_bool()).collect();
            column.typed::<BoolType>().write_batch(&list, Some(&levels), None)
        }
        Kind::Text => {
            let text = |v: &&Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
            let list: Vec<ByteArray> = there.map(|v| ByteArray::from(text(v).into_bytes())).collect();
            column.typed::<ByteArrayType>().write_batch(&list, Some(&levels), None)
        }
    }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use serde_json::json;

    #[test]
    fn rows_come_back_with_types_and_nulls() {
        let rows = [
            json!({ "index": 1, "margin": 0.5, "verdict": "certified", "radius": null, "fooled": false }),
            json!({ "index": 2, "margin": 1, "verdict": "open", "radius": 0.25 }),
        ];
        let rows: Vec<Map<String, Value>> = rows.iter().filter_map(|v| v.as_object().cloned()).collect();
        let header = json!({ "eps": 0.5, "kind": "rigorous" });
        let bytes = bytes::Bytes::from(encode(header.as_object().expect("a map"), &rows).expect("encoded"));
        let reader = SerializedFileReader::new(bytes).expect("a Parquet file");
        let metadata = reader.metadata().file_metadata().key_value_metadata().expect("the header").clone();
        let of = |key: &str| metadata.iter().find(|entry| entry.key == key).and_then(|entry| entry.value.clone());
        assert_eq!(of("workbench.eps").as_deref(), Some("0.5"));
        assert_eq!(of("workbench.kind").as_deref(), Some("rigorous"));
        assert_eq!(of("workbench"), Some(header.to_string()));
        let back: Vec<String> =
            reader.get_row_iter(None).expect("rows").map(|r| r.expect("a row").to_string()).collect();
        assert_eq!(back[0], r#"{fooled: false, index: 1, margin: 0.5, radius: null, verdict: "certified"}"#);
        assert_eq!(back[1], r#"{fooled: null, index: 2, margin: 1.0, radius: 0.25, verdict: "open"}"#);
    }
}
