//! Files in IDX and CSV, and every way such a file or a manifest can be wrong.

use crate::common::data::{all, assert_says, gz, labels, load, put};
use crate::common::values;
use candle_core::{DType, Device, Tensor};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use workbench::data::{self, Dataset, Options};

// ---- synthetic IDX files ----

const COUNT: usize = 6;
const FILES: [&str; 4] = ["train-images", "train-labels", "test-images", "test-labels"];

fn manifest(scale: u32) -> String {
    format!(
        "name: workbench-synthetic\ntitle: synthetic\nshape: [1, 2, 3]\nclasses: 3\nscale: {scale}\nformat: idx\n\
         splits:\n  train: {{ size: {COUNT}, images: train-images, labels: train-labels }}\n  \
         test: {{ size: {COUNT}, images: test-images, labels: test-labels }}\nlicence: none\ncitation: none\n"
    )
}

fn idx(dims: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
    bytes.extend(body);
    bytes
}

fn images_file() -> Vec<u8> {
    idx(&[COUNT as u32, 2, 3], &(0..COUNT as u8 * 6).map(|v| v * 7).collect::<Vec<_>>())
}

fn labels_file() -> Vec<u8> {
    idx(&[COUNT as u32], &[0, 1, 2, 2, 1, 0])
}

/// A folder with a manifest and its four files, all in order.
fn synthetic() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "my.yaml", manifest(255).as_bytes());
    for file in FILES {
        put(dir.path(), file, &if file.ends_with("images") { images_file() } else { labels_file() });
    }
    dir
}

/// What loading says when `file` holds `bytes` instead.
fn assert_refused(file: &str, bytes: &[u8], parts: &[&str]) {
    let dir = synthetic();
    put(dir.path(), file, bytes);
    let path = dir.path().join(file).display().to_string();
    assert_says(load(dir.path()), &[&[path.as_str()], parts].concat());
}

#[test]
fn a_manifest_by_path_loads_the_files_beside_it() {
    let dir = synthetic();
    let data = load(dir.path()).unwrap();
    assert_eq!((data.train.len(), data.classes, data.shape.as_slice()), (COUNT, 3, &[1, 2, 3][..]));
    assert_eq!(data.source, dir.path().display().to_string());
    assert_eq!(labels(&data.train), [0, 1, 2, 2, 1, 0]);
}

#[test]
fn a_manifest_may_be_saved_as_on_windows() {
    let dir = synthetic();
    let text = format!("\u{feff}{}", manifest(255).replace('\n', "\r\n"));
    put(dir.path(), "my.yaml", text.as_bytes());
    assert_eq!(labels(&load(dir.path()).unwrap().train), [0, 1, 2, 2, 1, 0]);
    put(dir.path(), "my.yaml", text.replace("name:", "nmae:").as_bytes());
    assert_says(load(dir.path()), &["my.yaml", "line 1, column 1", "unknown field `nmae`"]);
    put(dir.path(), "my.yaml", text.replace("name: w", "name: ../w").as_bytes());
    assert_says(load(dir.path()), &["line 1, column 7", "plain name"]);
    put(dir.path(), "my.yaml", b"\xff\xfen\0a\0");
    assert_says(load(dir.path()), &["my.yaml", "UTF-16 text; save it as UTF-8"]);
}

#[test]
fn values_are_exact_quotients() {
    let dir = synthetic();
    let bytes: Vec<u8> = (0..36).map(|i| i * 7).collect();
    for scale in [255, 251, 249] {
        put(dir.path(), "my.yaml", manifest(scale).as_bytes());
        let train = load(dir.path()).unwrap().train;
        let wanted: Vec<f64> = bytes.iter().map(|&v| f64::from(v) / f64::from(scale)).collect();
        let f32s: Vec<f32> = train.images(&all(&train)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(f32s, wanted.iter().map(|&v| v as f32).collect::<Vec<_>>());
        // In f64 it is the quotient itself and not a rounded f32.
        assert_eq!(values(&train.to_dtype(DType::F64).unwrap().images(&all(&train)).unwrap()), wanted);
        let half = train.to_dtype(DType::F16).unwrap().images(&all(&train)).unwrap();
        let rounded = Tensor::new(wanted.as_slice(), &Device::Cpu).unwrap().to_dtype(DType::F16).unwrap();
        assert_eq!(values(&half), values(&rounded));
    }
}

#[test]
fn packed_files_are_the_same_data() {
    let plain = synthetic();
    let packed = synthetic();
    for file in FILES {
        let bytes = std::fs::read(packed.path().join(file)).unwrap();
        // Two members, as `cat a.gz b.gz` makes them: still one valid file.
        let (a, b) = bytes.split_at(9);
        put(packed.path(), &format!("{file}.gz"), &[gz(a), gz(b)].concat());
        std::fs::remove_file(packed.path().join(file)).unwrap();
    }
    let (plain, packed) = (load(plain.path()).unwrap(), load(packed.path()).unwrap());
    let images = |d: &Dataset| values(&d.test.images(&all(&d.test)).unwrap());
    assert_eq!(images(&plain), images(&packed));
    assert_eq!(labels(&plain.test), labels(&packed.test));
}

#[test]
fn wrong_kind_of_file() {
    assert_refused("train-images", &labels_file(), &["0x00000803", "0x00000801", "IDX labels"]);
    assert_refused("test-labels", &images_file(), &["0x00000801", "0x00000803", "IDX images"]);
    assert_refused("train-images", b"<html>not found", &["0x00000803", "0x3c68746d", "no IDX file"]);
    assert_refused("train-images", &gz(&images_file()), &["0x1f8b", ".gz"]);
}

#[test]
fn wrong_length() {
    let whole = images_file();
    assert_refused("train-images", &whole[..51], &["cut off", "expected 52 bytes", "found 51"]);
    assert_refused("train-images", &whole[..7], &["cut off", "expected 16 bytes", "found 7"]);
    assert_refused("train-images", b"", &["empty", "52 bytes"]);
    assert_refused("train-labels", &labels_file()[..13], &["cut off", "expected 14 bytes", "found 13"]);
    assert_refused("train-images", &[&whole[..], b"xyz"].concat(), &["too long", "expected 52 bytes", "found 55"]);
    assert_refused("test-labels", &[&labels_file()[..], b"\n"].concat(), &["too long", "14", "15"]);
    for length in 0..whole.len() {
        let dir = synthetic();
        put(dir.path(), "test-images", &whole[..length]);
        assert!(load(dir.path()).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn wrong_counts_and_sizes() {
    let five = COUNT as u32 - 1;
    let images = idx(&[five, 2, 3], &[0; 30]);
    assert_refused("train-images", &images, &["holds 5 images", "train-labels holds 6 labels", "manifest says 6"]);
    let both = synthetic();
    put(both.path(), "train-images", &images);
    put(both.path(), "train-labels", &idx(&[five], &[0, 1, 2, 2, 1]));
    assert_says(load(both.path()), &["train-images", "expected 6 images", "found 5"]);
    let turned = idx(&[COUNT as u32, 3, 2], &[0; 36]);
    assert_refused("test-images", &turned, &["expected images of 2x3", "found 3x2"]);
}

#[test]
fn headers_do_not_drive_allocation() {
    // 4 billion images of 4 billion values: reported from the header, with nothing set aside for them.
    let huge = idx(&[u32::MAX, u32::MAX, u32::MAX], &[]);
    assert_refused("train-images", &huge, &["holds 4294967295 images", "6 labels"]);
    let both = synthetic();
    put(both.path(), "train-images", &huge);
    put(both.path(), "train-labels", &idx(&[u32::MAX], &[]));
    assert_says(load(both.path()), &["expected 6 images", "found 4294967295"]);
}

#[test]
fn labels_and_values_out_of_range() {
    let bad = idx(&[COUNT as u32], &[0, 1, 2, 3, 1, 0]);
    assert_refused("train-labels", &bad, &["label 3", "is 3", "0..=2", "3 classes"]);
    let dir = synthetic();
    put(dir.path(), "my.yaml", manifest(200).as_bytes());
    // The values are 0, 7, 14, ...: the first above 200 is 203 = 7 * 29, in the image 29 / 6 = 4.
    assert_says(load(dir.path()), &["train-images", "image 4", "value 203", "0..=200"]);
    let none_of_2 = idx(&[COUNT as u32], &[0, 1, 0, 1, 1, 0]);
    let dir = synthetic();
    put(dir.path(), "test-labels", &none_of_2);
    assert_says(load(dir.path()), &["test split", "no image of class 2", "3 classes"]);
}

#[test]
fn broken_gzip() {
    let packed = gz(&images_file());
    let refused = |bytes: &[u8], parts: &[&str]| {
        let dir = synthetic();
        std::fs::remove_file(dir.path().join("train-images")).unwrap();
        put(dir.path(), "train-images.gz", bytes);
        assert_says(load(dir.path()), &[&["train-images.gz"], parts].concat());
    };
    refused(&packed[..packed.len() - 3], &["cut off", "again"]);
    refused(&packed[..5], &["cut off"]);
    refused(b"", &["empty"]);
    refused(&gz(b""), &["empty"]);
    refused(&images_file(), &["broken gzip", "remove `.gz`"]);
    let mut flipped = packed.clone();
    let at = flipped.len() - 7;
    flipped[at] ^= 1;
    refused(&flipped, &["broken gzip"]); // its CRC
    refused(&[&packed[..], b"garbage behind the end"].concat(), &["broken gzip"]);
    refused(&gz(&images_file()[..40]), &["cut off", "expected 52 bytes after unpacking", "found 40"]);
    // 50 MB of zeros in a small file: unpacked only as far as one byte past the expected end.
    let mut bomb = images_file();
    bomb.resize(50_000_000, 0);
    refused(&gz(&bomb), &["too long", "expected 52 bytes after unpacking", "found more"]);
}

#[test]
fn missing_files() {
    let dir = synthetic();
    std::fs::remove_file(dir.path().join("test-labels")).unwrap();
    assert_says(load(dir.path()), &["neither test-labels nor test-labels.gz", "--data-dir", "WORKBENCH_DATA"]);

    for file in FILES.iter().filter(|f| **f != "test-labels") {
        std::fs::remove_file(dir.path().join(file)).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    let options = Options { data_dir: Some(other.path().into()), ..Options::default() };
    let manifest = dir.path().join("my.yaml").display().to_string();
    let place = |d: &Path, sub: &str| d.join(sub).join("train-images").display().to_string();
    let places = [
        place(dir.path(), ""),
        place(dir.path(), "workbench-synthetic"),
        place(other.path(), ""),
        place(other.path(), "workbench-synthetic"),
    ];
    let parts: Vec<&str> =
        places.iter().map(String::as_str).chain(["--data-dir", "WORKBENCH_DATA", "no such"]).collect();
    assert_says(Dataset::load(&manifest, &options), &parts);

    let gone = Options { data_dir: Some(other.path().join("gone")), ..Options::default() };
    assert_says(Dataset::load(&manifest, &gone), &["gone", "--data-dir", "does not exist"]);
    let file = Options { data_dir: Some(dir.path().join("my.yaml")), ..Options::default() };
    assert_says(Dataset::load(&manifest, &file), &["my.yaml", "is not a folder"]);
}

#[test]
fn the_data_folder_is_used_with_and_without_the_name() {
    for sub in ["", "workbench-synthetic"] {
        let (dir, other) = (synthetic(), tempfile::tempdir().unwrap());
        let target = other.path().join(sub);
        std::fs::create_dir_all(&target).unwrap();
        for file in FILES {
            std::fs::rename(dir.path().join(file), target.join(file)).unwrap();
        }
        let options = Options { data_dir: Some(other.path().into()), ..Options::default() };
        let data = Dataset::load(dir.path().join("my.yaml").to_str().unwrap(), &options).unwrap();
        assert_eq!(PathBuf::from(data.source), target);
    }
}

#[test]
fn a_folder_in_place_of_a_file() {
    let dir = synthetic();
    let path = dir.path().join("train-images");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_says(load(dir.path()), &["train-images", "is a folder", "expected a file"]);
    put(dir.path(), "train-images.gz", &gz(&images_file()));
    assert_eq!(load(dir.path()).unwrap().train.len(), COUNT, "the packed file beside the folder is taken");
    let manifest = dir.path().join("my.yaml");
    std::fs::remove_file(&manifest).unwrap();
    std::fs::create_dir(&manifest).unwrap();
    assert_says(load(dir.path()), &["my.yaml", "is a folder"]);
}

// ---- manifests ----

#[test]
fn manifests_are_checked() {
    let refused = |from: &str, to: &str, parts: &[&str]| {
        let dir = synthetic();
        let text = manifest(255);
        assert!(text.contains(from), "{from}");
        put(dir.path(), "my.yaml", text.replacen(from, to, 1).as_bytes());
        assert_says(load(dir.path()), &[&["my.yaml"], parts].concat());
    };
    refused("scale:", "scael:", &["line 5, column 1", "unknown field `scael`", "`scale`"]);
    refused("size: 6", "size: 0", &["line 8, column 18", "nonzero"]);
    refused("size: 6", "size: six", &["line 8, column 18", "splits.train.size"]);
    refused("scale: 255", "scale: 256", &["scale: 256", "format `idx` holds bytes", "1 to 255"]);
    refused("scale: 255", "scale: 0", &["line 5, column 8", "above 0"]);
    refused("scale: 255", "scale: 255\nheader: true", &["header", "not used by format `idx`"]);
    refused("scale: 255", "scale: 255\nclass_names: [a, b]", &["class_names: 2 names", "expected 3"]);
    refused("format: idx", "format: png", &["line 6, column 9", "png", "`idx`", "`csv`"]);
    refused("[1, 2, 3]", "[2, 3]", &["line 3", "length"]);
    refused("[1, 2, 3]", "[1, 2, 3", &["line "]);
    refused("images: train-images", "images: ../secret", &["line 8", "../secret", "plain name"]);
    refused("name: workbench-synthetic", "name: ..", &["line 1, column 7", "plain name"]);
    refused("images: train-images, ", "", &["splits.train.images", "missing", "idx"]);
    refused("images: train-images", "first_row: 3, images: train-images", &["splits.train.first_row", "not used"]);
    refused("test-images", "train-images", &["train and test", "same file"]);
    refused("size: 6", "size: 1000000000000", &["splits.train", "1000000000000", "at most"]);
    refused("[1, 2, 3]", "[4000000000, 4000000000, 4000000000]", &["at most"]);
    refused("classes: 3", "classes: 4000000000", &["classes", "at most"]);
    let options = Options::default();
    assert_says(Dataset::load("no/such.yaml", &options), &["cannot read no/such.yaml"]);
    #[cfg(unix)]
    assert_says(Dataset::load("/dev/zero", &options), &["/dev/zero is a device", "expected a file"]);
}

// ---- CSV ----

fn csv(rows: &str, splits: &str) -> data::Result<Dataset> {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "name: workbench-rows\ntitle: rows\nshape: [1, 1, 2]\nclasses: 2\nscale: 16\nformat: csv\nsplits:\n{splits}\n\
         licence: none\ncitation: none\n"
    );
    put(dir.path(), "my.yaml", text.as_bytes());
    put(dir.path(), "rows.csv", rows.as_bytes());
    load(dir.path())
}

const HALVES: &str = "  train: { size: 2, file: rows.csv }\n  test: { size: 2, file: rows.csv, first_row: 2 }";

#[test]
fn rows_are_split_by_position() {
    // The last line may end or not, and lines may end as on Windows.
    let windows = "\u{feff}0,1,0\r\n2,3,1\r\n4,5,0\r\n16,7,1\r\n";
    for rows in ["0,1,0\n2,3,1\n4,5,0\n16,7,1\n", "0,1,0\r\n2,3,1\r\n4,5,0\r\n16,7,1", windows] {
        let data = csv(rows, HALVES).unwrap();
        let scaled = |v: &[f64]| v.iter().map(|v| v / 16.0).collect::<Vec<_>>();
        assert_eq!(values(&data.train.images(&[0, 1]).unwrap()), scaled(&[0.0, 1.0, 2.0, 3.0]));
        assert_eq!(values(&data.test.images(&[0, 1]).unwrap()), scaled(&[4.0, 5.0, 16.0, 7.0]));
        assert_eq!((labels(&data.train), labels(&data.test)), (vec![0, 1], vec![0, 1]));
    }
}

#[test]
fn broken_rows() {
    let refused = |rows: &str, parts: &[&str]| assert_says(csv(rows, HALVES), &[&["rows.csv"], parts].concat());
    refused("0,1,0\n2,3,1\n4,5\n6,7,1\n", &["line 3", "expected 3 columns", "found 2"]);
    refused("0,1,0\n2,3,1\n4,5,0,9\n6,7,1\n", &["line 3", "expected 3 columns", "found 4"]);
    refused("0,1,0\n2,x,1\n4,5,0\n6,7,1\n", &["line 2", "column 2", "`x`"]);
    refused("0,1,0\n2,-3,1\n4,5,0\n6,7,1\n", &["line 2", "column 2", "`-3`"]);
    refused("0,1,0\n2,,1\n4,5,0\n6,7,1\n", &["line 2", "column 2", "``"]);
    refused("0,1,0\n2,17,1\n4,5,0\n6,7,1\n", &["line 2", "column 2", "0..=16", "found 17"]);
    refused("0,1,0\n2,3,1\n4,5,0\n6,7,2\n", &["label 3", "is 2", "0..=1"]);
    refused("0,1,0\n\n2,3,1\n4,5,0\n6,7,1\n", &["line 2", "found 1"]);
    refused("0,1,0\n2,3,1\n4,5,0\n", &["expected 4 rows", "found 3"]);
    refused("0,1,0\n2,3,1\n4,5,0\n6,7,1\n8,9,1\n", &["expected 4 rows", "found more"]);
    refused("", &["empty", "4 rows"]);
    refused("\u{feff}", &["empty", "4 rows"]);
    refused("\u{feff}0,x,0\n", &["line 1", "column 2", "`x`"]);
    refused("0,1,0\n\u{feff}2,3,1\n4,5,0\n6,7,1\n", &["line 2", "column 1"]);
    // The longest row there can be, and one byte more.
    let longest = "\u{feff}0,1,00000000\r\n2,3,1\n4,5,0\n6,7,1\n";
    csv(longest, HALVES).map(|_| ()).unwrap();
    refused(&"1".repeat(100_000), &["line 1", "longer than"]);

    let missing = csv("0,1,0\n2,3,0\n4,5,0\n6,7,1\n", HALVES);
    assert_says(missing, &["workbench-rows", "train split", "no image of class 1"]);
    let overlap = HALVES.replace("first_row: 2", "first_row: 1");
    assert_says(csv("", &overlap), &["rows 0..2", "rows 1..3", "overlap"]);
}
