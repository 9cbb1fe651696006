//! What a manifest can say of CSV and of arrays: where the label stands, headers, scales, names that arrays usually have.

use super::npy::{npy, npz};
use crate::common::data::{all, assert_says, labels, load, put};
use crate::common::values;
use std::path::Path;
use workbench::data::{Dataset, Result, Split};

fn pixels(split: &Split) -> Vec<f64> {
    values(&split.images(&all(split)).unwrap())
}

/// A data set of images [1, 1, 2] and 2 classes in `rows.csv`.
fn csv(rows: &str, more: &str) -> Result<Dataset> {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "name: rows\nshape: [1, 1, 2]\nclasses: 2\nformat: csv\n{more}splits: {{ test: {{ file: rows.csv }} }}\n"
    );
    put(dir.path(), "my.yaml", text.as_bytes());
    put(dir.path(), "rows.csv", rows.as_bytes());
    load(dir.path())
}

#[test]
fn the_label_stands_where_it_is_said_to() {
    let right = |rows: &str, more: &str| {
        let data = csv(rows, more).unwrap_or_else(|e| panic!("{rows:?}: {e}"));
        let bytes: Vec<f64> = pixels(&data.test).iter().map(|v| (v * 255.0).round()).collect();
        assert_eq!((labels(&data.test), bytes), (vec![1, 0], vec![20.0, 30.0, 50.0, 60.0]), "{rows:?}, {more:?}");
    };
    right("label,a,b\n1,20,30\n0,50,60\n", "");
    right("\u{feff}a,b,Label\r\n20,30,1\r\n50,60,0", "");
    right("\"a\",\"label\",\"b\"\n20,1,30\n50,0,60\n", "");
    right("a,kind,b\n20,1,30\n50,0,60\n", "label: kind\n");
    right("1,20,30\n0,50,60\n", "");
    right("20,30,1\n50,60,0\n", "");
    right("20,30,1\n50,60,0\n", "label: last\nheader: false\n");
    right("9,8,7\n1,20,30\n0,50,60\n", "label: first\nheader: true\n");
    right("5,20,30\n4,50,60\n", "first_label: 4\n");
    let one = csv("1,0,1\n0,1,1\n1,1,0\n0,0,0\n", "scale: 1\n");
    assert_says(
        one,
        &["rows.csv", "first and its last column could both be labels", "`label: first` or `label: last`"],
    );
    // As many of each class in the first column alone.
    let even = csv("1,0,1\n0,1,1\n1,1,1\n0,0,0\n", "scale: 1\n").unwrap();
    assert_eq!(labels(&even.test), [1, 0, 1, 0]);
    assert!(even.warnings[0].contains("labels are taken from its first column"), "{:?}", even.warnings);
    assert_says(csv("a,b,c\n20,30,1\n50,60,0\n", "label: kind\n"), &["no column `kind`", "the columns a, b, c"]);
    assert_says(csv("20,30,1\n50,60,0\n", "label: kind\n"), &["no column `kind`", "no header"]);
    assert_says(csv("a,b,label\n", ""), &["rows.csv is empty", "test images"]);
}

#[test]
fn a_training_file_alone_is_divided() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..20).map(|i| format!("{},{},{}\n", i % 2, 10 + i, 90 + i)).collect();
    put(dir.path(), "rows.csv", format!("label,p0,p1\n{rows}").as_bytes());
    put(
        dir.path(),
        "my.yaml",
        b"name: rows\nshape: [1, 1, 2]\nclasses: 2\nformat: csv\nsplits: { train: { file: rows.csv } }\n",
    );
    let data = load(dir.path()).unwrap();
    assert_eq!(
        (data.train.class_counts(), data.test.class_counts(), data.title.as_str()),
        (vec![8, 8], vec![2, 2], "rows")
    );
    assert!(data.warnings[0].contains("has no test images: 4 of its 20 are set apart"), "{:?}", data.warnings);
    put(dir.path(), "my.yaml", b"name: rows\nshape: [1, 1, 2]\nclasses: 2\nformat: csv\nsplits: { train: { file: rows.csv }, test: { file: rows.csv, first_row: 15 } }\n");
    assert_says(load(dir.path()), &["train (rows 0..20) and test (rows 15..20)", "overlap"]);
    put(dir.path(), "my.yaml", b"name: rows\nshape: [1, 1, 2]\nclasses: 2\nformat: csv\nsplits: { train: { size: 15, file: rows.csv }, test: { file: rows.csv, first_row: 15 } }\n");
    assert_eq!(load(dir.path()).unwrap().test.len(), 5);
}

const NPZ: &str = "name: med\nshape: [1, 2, 2]\nclasses: 2\nformat: npz\n";

#[test]
fn arrays_are_found_by_their_usual_names() {
    let dir = tempfile::tempdir().unwrap();
    let images = |n: usize| npy("|u1", false, &[n, 2, 2], &(0..4 * n as u8).collect::<Vec<_>>());
    let column = |n: usize| npy("|u1", false, &[n, 1], &(0..n as u8).map(|i| i % 2).collect::<Vec<_>>());
    let three = "splits: { train: { file: a.npz }, validation: { file: a.npz }, test: { file: a.npz } }\n";
    put(dir.path(), "my.yaml", format!("{NPZ}{three}").as_bytes());
    let names = |train: &str, val: &str| {
        let mut arrays = vec![];
        for (word, n) in [(train, 4), (val, 2), ("test_W", 3)] {
            arrays.extend([(word.replace('W', "images"), images(n)), (word.replace('W', "labels"), column(n))]);
        }
        let arrays: Vec<(&str, Vec<u8>)> = arrays.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        npz(&arrays)
    };
    put(dir.path(), "a.npz", &names("train_W", "val_W"));
    let data = load(dir.path()).unwrap();
    assert_eq!((data.train.len(), data.validation().unwrap().len(), data.test.len()), (4, 2, 3));
    assert_eq!(labels(&data.train), [0, 1, 0, 1]);
    put(dir.path(), "a.npz", &names("train_W", "more_W"));
    assert_says(
        load(dir.path()),
        &["a.npz", "no arrays of validation images", "`val_images` and `val_labels`", "more_images"],
    );
    let many = npz(&[("test_images", images(2)), ("test_labels", npy("|u1", false, &[2, 3], &[0; 6]))]);
    put(dir.path(), "a.npz", &many);
    put(dir.path(), "my.yaml", format!("{NPZ}splits: {{ test: {{ file: a.npz }} }}\n").as_bytes());
    assert_says(load(dir.path()), &["test_labels", "[2, 3]", "several labels for an image"]);
}

/// The images of a data set whose two images [1, 2, 3] are in an array of this kind.
fn array(kind: &str, fortran: bool, shape: &[usize], bytes: &[u8], more: &str) -> Result<Vec<f64>> {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "name: one\nshape: [1, 2, 3]\nclasses: 2\nformat: npy\n{more}splits: {{ test: {{ images: x.npy, labels: y.npy }} }}\n"
    );
    put(dir.path(), "my.yaml", text.as_bytes());
    put(dir.path(), "x.npy", &npy(kind, fortran, shape, bytes));
    put(dir.path(), "y.npy", &npy(">i2", false, &[2], &[0, 0, 0, 1]));
    let data = load(Path::new(dir.path()))?;
    assert_eq!(labels(&data.test), [0, 1]);
    Ok(pixels(&data.test))
}

#[test]
fn arrays_of_every_order_type_and_scale() {
    let near = |found: Result<Vec<f64>>, scale: f64, what: &str| {
        let found = found.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!((0..12).all(|i| (found[i] - i as f64 / scale).abs() < 1e-7), "{what}: {found:?}");
    };
    let whole: Vec<u8> = (0..12).collect();
    // [2, 2, 3] with the first axis fastest.
    let fortran: Vec<u8> = (0..12).map(|at| (at % 2 * 6 + at / 2 % 2 * 3 + at / 4) as u8).collect();
    near(array("|u1", true, &[2, 2, 3], &fortran, ""), 255.0, "Fortran order");
    let big: Vec<u8> = whole.iter().flat_map(|v| u16::from(*v).to_be_bytes()).collect();
    near(array(">u2", false, &[2, 2, 3], &big, ""), 255.0, "big-endian");
    near(array(">u2", false, &[2, 2, 3, 1], &big, "scale: 65535\n"), 65535.0, "of 16 bits");
    let half: Vec<u8> = whole.iter().flat_map(|v| half::f16::from_f32(f32::from(*v)).to_le_bytes()).collect();
    near(array("<f2", false, &[2, 1, 2, 3], &half, "scale: 16\n"), 16.0, "f2");
    let single: Vec<u8> = fortran.iter().flat_map(|v| (f32::from(*v) / 11.0).to_le_bytes()).collect();
    near(array("<f4", true, &[2, 2, 3], &single, "scale: 1\n"), 11.0, "f4 in Fortran order");
    let turned: Vec<u8> =
        (0..12).flat_map(|at| (f64::from(at / 6 * 6 + at % 2 * 3 + at % 6 / 2)).to_be_bytes()).collect();
    near(array(">f8", false, &[2, 3, 2], &turned, "scale: 255\ntransposed: true\n"), 255.0, "f8, transposed");
    assert_says(array("<f4", false, &[2, 2, 3], &[0; 48], ""), &["x.npy", "F32", "`scale: 1`", "`scale: 255`"]);
    let wrong: Vec<u8> = [0.5_f32, f32::NAN].repeat(6).iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_says(array("<f4", false, &[2, 2, 3], &wrong, "scale: 1\n"), &["image 0", "NaN", "scale, 1"]);
    assert_says(array("|u1", false, &[2, 2, 3], &whole, "scale: 10\n"), &["image 1", "value 11", "0..=10"]);
}
