//! The binary format of CIFAR-10: several files a split, excerpts, and every way a file can be wrong.

use crate::common::data::{all, assert_says, cifar, gz, labels, limits, load, load_with, put};
use crate::common::values;
use std::path::Path;
use tempfile::TempDir;
use workbench::data::{Dataset, Options};

fn toy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    cifar::write(dir.path());
    dir
}

fn bytes(data: &Dataset) -> Vec<f64> {
    values(&data.train.images(&all(&data.train)).unwrap()).iter().map(|v| (v * 255.0).round()).collect()
}

fn remove(dir: &Path, file: &str) {
    std::fs::remove_file(dir.join(file)).unwrap();
}

/// What loading with limits (0 for none) says when `file` holds `bytes` instead.
fn assert_refused(file: &str, bytes: &[u8], (train, test): (usize, usize), parts: &[&str]) {
    let dir = toy();
    put(dir.path(), file, bytes);
    let some = |n| Some(n).filter(|n| *n > 0);
    let options = Options { train_limit: some(train), test_limit: some(test), ..Options::default() };
    assert_says(load_with(dir.path(), &options), &[&[file], parts].concat());
}

#[test]
fn files_of_a_split_follow_one_another() {
    let dir = toy();
    let data = load(dir.path()).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.shape.as_slice()), (6, 2, &[3, 2, 2][..]));
    assert_eq!((labels(&data.train), labels(&data.test)), (vec![0, 1, 0, 1, 0, 1], vec![0, 1]));
    assert_eq!(bytes(&data), (0..72).map(f64::from).collect::<Vec<_>>());
    // Packed, the same.
    for file in ["one.bin", "three.bin"] {
        let plain = std::fs::read(dir.path().join(file)).unwrap();
        put(dir.path(), &format!("{file}.gz"), &gz(&plain));
        remove(dir.path(), file);
    }
    assert_eq!(bytes(&load(dir.path()).unwrap()), bytes(&data));
}

#[test]
fn the_folder_of_the_archive_is_found() {
    for sub in ["", "toy", "toy-bin", "toy/toy-bin"] {
        let (dir, other) = (toy(), tempfile::tempdir().unwrap());
        let target = other.path().join(sub);
        std::fs::create_dir_all(&target).unwrap();
        for file in ["one.bin", "two.bin", "three.bin"] {
            std::fs::rename(dir.path().join(file), target.join(file)).unwrap();
        }
        let options = Options { data_dir: Some(other.path().into()), ..Options::default() };
        assert_eq!(Path::new(&load_with(dir.path(), &options).unwrap().source), target);
    }
}

#[test]
fn a_limit_needs_only_the_files_that_it_reads() {
    let dir = toy();
    remove(dir.path(), "two.bin");
    for limit in 1..=3 {
        let data = load_with(dir.path(), &limits(limit, 2)).unwrap();
        assert_eq!(bytes(&data), (0..12 * limit).map(|v| v as f64).collect::<Vec<_>>());
    }
    let lacks = ["one.bin", "neither two.bin nor two.bin.gz", "--data-dir", "train_limit: 3"];
    assert_says(load_with(dir.path(), &limits(4, 2)), &lacks);
    assert_says(load(dir.path()), &lacks);

    // A file that ends early, but with a whole record.
    put(dir.path(), "two.bin", &cifar::records(3..5));
    assert_eq!(bytes(&load_with(dir.path(), &limits(5, 2)).unwrap()).len(), 60);
    let cut = ["two.bin is cut off: expected 39 bytes, found 26", "train_limit: 5"];
    assert_says(load(dir.path()), &cut);
    remove(dir.path(), "one.bin");
    assert_says(load_with(dir.path(), &limits(1, 2)), &["neither one.bin"]);
}

#[test]
fn wrong_lengths() {
    let whole = cifar::records(0..3);
    // Not a whole number of records: an error even where the limit does not reach that far, and no way out with less.
    for limit in [0, 1, 3] {
        assert_refused("one.bin", &whole[..38], (limit, 0), &["cut off", "expected 39 bytes", "found 38"]);
        assert_refused("one.bin", &[&whole[..], b"x"].concat(), (limit, 0), &["too long", "expected 39", "found 40"]);
    }
    let dir = toy();
    put(dir.path(), "one.bin", &whole[..38]);
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(!message.contains("train_limit"), "{message}");
    let more = cifar::records(0..4);
    assert_refused("one.bin", &more, (0, 0), &["too long", "expected 39", "found 52"]);
    assert_refused("three.bin", &whole[..13], (0, 0), &["expected 26 bytes", "found 13", "test_limit: 1"]);
    assert_refused("three.bin", b"", (0, 0), &["empty", "26 bytes"]);
    for length in (0..39).filter(|n| n % 13 != 0) {
        let dir = toy();
        put(dir.path(), "two.bin", &whole[..length]);
        assert!(load_with(dir.path(), &limits(4, 1)).is_err(), "{length} of 39 bytes");
    }

    let packed = |bytes: &[u8]| {
        let dir = toy();
        remove(dir.path(), "one.bin");
        put(dir.path(), "one.bin.gz", &gz(bytes));
        load_with(dir.path(), &limits(2, 2))
    };
    assert!(packed(&whole[..26]).is_ok());
    assert_says(packed(&whole[..13]), &["expected 39 bytes after unpacking, found 13", "train_limit: 1"]);
    let bomb = vec![0; 50_000_000];
    assert_says(packed(&bomb), &["one.bin.gz is too long", "39 bytes after unpacking", "found more"]);
}

#[test]
fn labels_values_and_classes() {
    let mut records = cifar::records(3..6);
    records[13] = 2;
    assert_refused("two.bin", &records, (0, 0), &["label 1 ", "is 2", "0..=1"]);
    let dir = toy();
    put(dir.path(), "my.yaml", cifar::MANIFEST.replace("scale: 255", "scale: 50").as_bytes());
    assert_says(load(dir.path()), &["two.bin", "image 1 ", "value 51", "0..=50"]);
    let dir = toy();
    put(dir.path(), "three.bin", &[&cifar::records(0..1)[..], &cifar::records(0..1)].concat());
    assert_says(load(dir.path()), &["test split", "no image of class 1"]);
}

#[test]
fn manifests_are_checked() {
    let refused = |from: &str, to: &str, parts: &[&str]| {
        let dir = toy();
        assert!(cifar::MANIFEST.contains(from), "{from}");
        put(dir.path(), "my.yaml", cifar::MANIFEST.replacen(from, to, 1).as_bytes());
        assert_says(load(dir.path()), &[&["my.yaml"], parts].concat());
    };
    refused("files: [three.bin]", "file: three.bin", &["splits.test.file", "not used by format `cifar`"]);
    refused(", files: [three.bin]", "", &["splits.test.files", "missing", "cifar"]);
    refused("[one.bin, two.bin]", "[]", &["splits.train", "6 images in 0 files"]);
    refused("size: 6", "size: 7", &["splits.train", "7 images in 2 files"]);
    refused("[one.bin, two.bin]", "[one.bin, one.bin]", &["splits.train.files", "one.bin", "twice"]);
    refused("three.bin", "two.bin", &["train and test", "two.bin"]);
    refused("one.bin", "../one.bin", &["line 9", "../one.bin", "plain name"]);
    refused("toy-bin", "toy/bin", &["line 7", "toy/bin", "plain name"]);
    refused("format: cifar", "format: idx", &["splits.train.images", "missing"]);
    refused("folder:", "class_list: c.txt\nfolder:", &["class_list", "not used by format `cifar`"]);
}
