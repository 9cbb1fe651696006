//! Parquet files as the hub keeps image sets: a struct of a picture's bytes and path, and a label.

use bytes::Bytes;
use image::{ExtendedColorType, ImageEncoder};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

/// A picture as PNG from values in CHW order.
pub fn png(values: &[u8], [c, h, w]: [usize; 3]) -> Vec<u8> {
    let area = h * w;
    let interleaved: Vec<u8> = (0..area).flat_map(|at| (0..c).map(move |c| values[c * area + at])).collect();
    let kind = if c == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut out = vec![];
    image::codecs::png::PngEncoder::new(&mut out).write_image(&interleaved, w as u32, h as u32, kind).unwrap();
    out
}

/// Rows of (picture file, label) in row groups of `group`, under these columns.
pub fn write(rows: &[(Vec<u8>, i64)], group: usize, (image, label): (&str, &str)) -> Vec<u8> {
    let schema = format!(
        "message schema {{ OPTIONAL GROUP {image} {{ OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (UTF8); }} \
         OPTIONAL INT64 {label}; }}"
    );
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut out = vec![];
    let mut writer = SerializedFileWriter::new(&mut out, schema, properties).unwrap();
    for rows in rows.chunks(group) {
        let mut own = writer.next_row_group().unwrap();
        let bytes: Vec<ByteArray> = rows.iter().map(|(b, _)| ByteArray::from(Bytes::copy_from_slice(b))).collect();
        let labels: Vec<i64> = rows.iter().map(|(_, l)| *l).collect();
        let two = vec![2; rows.len()];
        let one = vec![1; rows.len()];
        let mut column = own.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&bytes, Some(&two), None).unwrap();
        column.close().unwrap();
        let mut column = own.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[], Some(&one), None).unwrap();
        column.close().unwrap();
        let mut column = own.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, Some(&one), None).unwrap();
        column.close().unwrap();
        own.close().unwrap();
    }
    writer.close().unwrap();
    out
}
