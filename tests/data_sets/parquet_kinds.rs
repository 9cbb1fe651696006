//! Parquet as other programs write it: compressions, plain columns of bytes, labels that are names, nulls.

use crate::common::data::{assert_says, labels, load, put};
use crate::common::parquet::png;
use bytes::Bytes;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::path::Path;
use std::sync::Arc;

/// Rows of a plain column of pictures and one of labels, numbers or names; nothing stands for a null.
fn write(
    names: Option<&[Option<&str>]>,
    numbers: &[Option<i32>],
    holes: &[usize],
    compression: Compression,
) -> Vec<u8> {
    let n = names.map_or(numbers.len(), <[_]>::len);
    let kind = if names.is_some() { "BYTE_ARRAY label (UTF8)" } else { "INT32 label" };
    let schema = format!("message schema {{ OPTIONAL BYTE_ARRAY image; OPTIONAL {kind}; }}");
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut out = vec![];
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let level = |there: bool| i16::from(there);
    let pictures =
        (0..n).filter(|i| !holes.contains(i)).map(|i| ByteArray::from(Bytes::from(png(&[i as u8 * 9; 20], [1, 4, 5]))));
    let levels: Vec<i16> = (0..n).map(|i| level(!holes.contains(&i))).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&pictures.collect::<Vec<_>>(), Some(&levels), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    if let Some(names) = names {
        let values: Vec<ByteArray> = names.iter().flatten().map(|name| ByteArray::from(*name)).collect();
        let levels: Vec<i16> = names.iter().map(|name| level(name.is_some())).collect();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
    } else {
        let values: Vec<i32> = numbers.iter().flatten().copied().collect();
        let levels: Vec<i16> = numbers.iter().map(|number| level(number.is_some())).collect();
        column.typed::<Int32Type>().write_batch(&values, Some(&levels), None).unwrap();
    }
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    out
}

const MANIFEST: &str = "name: kinds\nshape: [1, 4, 5]\nclasses: 2\nformat: parquet\ncolumns: { image: image, label: label }\n\
    splits: { test: { files: [a.parquet] } }\n";

fn with(dir: &Path, bytes: &[u8]) {
    put(dir, "my.yaml", MANIFEST.as_bytes());
    put(dir, "a.parquet", bytes);
}

fn compressions() -> [Compression; 7] {
    [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ]
}

#[test]
fn every_compression_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for compression in compressions() {
        with(dir.path(), &write(None, &[Some(0), Some(1), Some(1)], &[], compression));
        let data = load(dir.path()).unwrap_or_else(|e| panic!("{compression:?}: {e}"));
        assert_eq!(labels(&data.test), [0, 1, 1], "{compression:?}");
    }
}

#[test]
fn labels_may_be_names() {
    let dir = tempfile::tempdir().unwrap();
    let snappy = Compression::SNAPPY;
    with(dir.path(), &write(Some(&[Some("dog"), Some("cat"), Some("dog")]), &[], &[], snappy));
    let data = load(dir.path()).unwrap();
    assert_eq!((labels(&data.test), data.class_names), (vec![1, 0, 1], vec!["cat".to_string(), "dog".into()]));
    put(dir.path(), "my.yaml", format!("{MANIFEST}class_names: [dog, cat]\n").as_bytes());
    assert_eq!(labels(&load(dir.path()).unwrap().test), [0, 1, 0]);
    put(dir.path(), "my.yaml", format!("{MANIFEST}class_names: [dog, cow]\n").as_bytes());
    assert_says(load(dir.path()), &["row 1", "`cat` is none of the classes"]);
    with(dir.path(), &write(Some(&[Some("dog"), Some("dog")]), &[], &[], snappy));
    assert_says(load(dir.path()), &["names 1 classes (dog)", "the manifest says 2", "`class_names`"]);
    with(dir.path(), &write(Some(&[Some("a"), Some("b"), Some("c")]), &[], &[], snappy));
    assert_says(load(dir.path()), &["names 3 classes (a, b, c)", "the manifest says 2"]);
}

#[test]
fn nulls_are_called_nulls_and_whole_files_never_broken() {
    let dir = tempfile::tempdir().unwrap();
    let snappy = Compression::SNAPPY;
    with(dir.path(), &write(None, &[Some(0), None], &[], snappy));
    assert_says(load(dir.path()), &["a.parquet", "row 1: `label` is null"]);
    with(dir.path(), &write(Some(&[None, Some("a"), Some("b")]), &[], &[], snappy));
    assert_says(load(dir.path()), &["row 0: `label` is null"]);
    with(dir.path(), &write(None, &[Some(0), Some(1), Some(0)], &[2], snappy));
    assert_says(load(dir.path()), &["row 2: `image` is null"]);
    let text = MANIFEST.replace("image: image", "image: label");
    put(dir.path(), "my.yaml", text.as_bytes());
    assert_says(load(dir.path()), &["`label` is of type INT32", "the bytes of picture files"]);
}

/// Each byte of a file that is packed by gzip or brotli, changed: an error, or the same number of images; and never much memory.
#[test]
fn changed_bytes_of_packed_pages_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::GZIP(GzipLevel::default()), Compression::BROTLI(BrotliLevel::default())] {
        let good = write(None, &[Some(0), Some(1), Some(1)], &[], compression);
        with(dir.path(), &good);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(dir.path().join("a.parquet"), &bytes).unwrap();
            if let Ok(data) = load(dir.path()) {
                assert_eq!(data.test.len(), 3, "byte {at}");
            }
        }
    }
}
