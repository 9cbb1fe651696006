//! Parquet: the same images as from the original files, and what bad files say; the decoded cache of local files.

use crate::common::data::{all, assert_says, labels, load, put, real};
use crate::common::parquet::{png, write};
use crate::common::values;
use std::path::Path;
use workbench::data::{Dataset, Options, Split};

const MANIFEST: &str = "\
name: spots
title: Spots
shape: [C, H, W]
classes: CLASSES
scale: 255
format: parquet
columns: { image: image, label: label }
splits:
  train: { size: TRAIN, files: [a.parquet, b.parquet] }
  test: { size: TEST, files: [test.parquet] }
licence: none
citation: none
";

fn manifest([c, h, w]: [usize; 3], classes: usize, train: usize, test: usize) -> String {
    let pairs = [("[C,", format!("[{c},")), (" H,", format!(" {h},")), (" W]", format!(" {w}]"))];
    let more = [("CLASSES", classes), ("TRAIN", train), ("TEST", test)].map(|(a, b)| (a, b.to_string()));
    pairs.into_iter().chain(more).fold(MANIFEST.to_owned(), |text, (from, to)| text.replacen(from, &to, 1))
}

/// The bytes of a split's images, CHW, and labels.
fn content(split: &Split) -> Vec<(Vec<u8>, i64)> {
    let labels = labels(split);
    let images = split.images(&all(split)).unwrap();
    let per_image = images.elem_count() / labels.len();
    let bytes: Vec<u8> = values(&images).iter().map(|v| (v * 255.0).round() as u8).collect();
    bytes.chunks(per_image).map(<[u8]>::to_vec).zip(labels.into_iter().map(i64::from)).collect()
}

/// Repack the data set and compare.
fn repacked(name: &str, options: &Options) {
    let data = Dataset::load(name, options).expect("WORKBENCH_DATA holds it");
    let shape = [data.shape[0], data.shape[1], data.shape[2]];
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "my.yaml", manifest(shape, data.classes, data.train.len(), data.test.len()).as_bytes());
    let rows = |split| content(split).into_iter().map(|(p, l)| (png(&p, shape), l)).collect::<Vec<_>>();
    let (train, test) = (rows(&data.train), rows(&data.test));
    let half = train.len() / 2;
    put(folder.path(), "a.parquet", &write(&train[..half], 1000, ("image", "label")));
    put(folder.path(), "b.parquet", &write(&train[half..], 999, ("image", "label")));
    put(folder.path(), "test.parquet", &write(&test, test.len(), ("image", "label")));
    let again = load(folder.path()).unwrap();
    for (a, b) in [(&data.train, &again.train), (&data.test, &again.test)] {
        assert_eq!(labels(a), labels(b), "{name}");
        assert!(values(&a.images(&all(a)).unwrap()) == values(&b.images(&all(b)).unwrap()), "{name}: equal tensors");
    }
}

#[test]
fn real_images_repacked_are_the_same() {
    let part = |train, test| Options { train_limit: Some(train), test_limit: Some(test), ..Options::default() };
    if real("mnist").is_some() {
        repacked("mnist", &part(3000, 500));
    }
    if real("cifar10/cifar-10-batches-bin").is_some() {
        repacked("cifar10", &part(2000, 500));
    }
}

/// The JPEG files themselves, grey ones among them, in the order of the folders: the first of every class, the second of
/// every class, and so on.
#[test]
fn original_jpegs_repacked_are_the_same() {
    let Some(root) = real("tiny-imagenet-200") else { return };
    let options = Options { train_limit: Some(300), test_limit: Some(1), ..Options::default() };
    let data = Dataset::load("tiny_imagenet", &options).expect("WORKBENCH_DATA holds it");
    let list = std::fs::read_to_string(root.join("wnids.txt")).unwrap();
    let mut classes: Vec<&str> = list.lines().collect();
    classes.sort_unstable();
    let rows: Vec<(Vec<u8>, i64)> = (0..300)
        .map(|i| {
            let (label, number) = (i % classes.len(), i / classes.len());
            let class = classes[label];
            let file = root.join(format!("train/{class}/images/{class}_{number}.JPEG"));
            (std::fs::read(file).unwrap(), label as i64)
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "my.yaml", manifest([3, 64, 64], classes.len(), 300, 300).as_bytes());
    put(folder.path(), "a.parquet", &write(&rows[..100], 64, ("image", "label")));
    put(folder.path(), "b.parquet", &write(&rows[100..], 64, ("image", "label")));
    put(folder.path(), "test.parquet", &write(&rows, 300, ("image", "label")));
    let again = load(folder.path()).unwrap();
    assert_eq!(labels(&data.train), labels(&again.train));
    assert!(
        values(&data.train.images(&all(&data.train)).unwrap())
            == values(&again.train.images(&all(&again.train)).unwrap())
    );
}

fn picture(image: usize, shape: [usize; 3]) -> Vec<u8> {
    (0..shape.iter().product()).map(|i| (i * 31 + image * 77) as u8).collect()
}

/// Twelve images in two files of training images, four to test on.
fn spots(folder: &Path) {
    let shape = [1, 4, 5];
    let rows = |from: usize, to: usize| {
        (from..to).map(|i| (png(&picture(i, shape), shape), (i % 2) as i64)).collect::<Vec<_>>()
    };
    put(folder, "my.yaml", manifest(shape, 2, 12, 4).as_bytes());
    put(folder, "a.parquet", &write(&rows(0, 7), 3, ("image", "label")));
    put(folder, "b.parquet", &write(&rows(7, 12), 5, ("image", "label")));
    put(folder, "test.parquet", &write(&rows(12, 16), 5, ("image", "label")));
}

#[test]
fn row_groups_and_files_follow_one_another() {
    let folder = tempfile::tempdir().unwrap();
    spots(folder.path());
    let data = load(folder.path()).unwrap();
    let expected: Vec<_> = (0..12).map(|i| (picture(i, [1, 4, 5]), (i % 2) as i64)).collect();
    assert_eq!(content(&data.train), expected);
    assert_eq!(labels(&data.test), [0, 1, 0, 1]);
}

#[test]
fn bad_files_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (path, shape) = (folder.path(), [1, 4, 5]);
    let row = |label| (png(&picture(1, shape), shape), label);
    let bad = |bytes: &[u8], says: &[&str]| {
        spots(path);
        put(path, "b.parquet", bytes);
        assert_says(load(path), says);
    };
    let good = write(&(0..5).map(|i| row(i % 2)).collect::<Vec<_>>(), 5, ("image", "label"));
    bad(&[], &["b.parquet", "is empty", "a Parquet file"]);
    bad(&good[..good.len() - 9], &["b.parquet", "broken Parquet file", "again"]);
    bad(b"no parquet at all", &["b.parquet", "broken Parquet file"]);
    bad(&write(&[row(0), row(1)], 5, ("image", "label")), &["expected 12 rows", "found 9"]);
    bad(
        &write(&(0..6).map(row).collect::<Vec<_>>(), 6, ("image", "label")),
        &["b.parquet", "expected 12 rows", "13 or more"],
    );
    bad(&write(&(0..5).map(|i| row(i * 3)).collect::<Vec<_>>(), 5, ("image", "label")), &["label", "is 3", "0..=1"]);
    bad(&write(&(0..5).map(|i| row(-i)).collect::<Vec<_>>(), 5, ("image", "label")), &["label 8", "is -1"]);
    bad(
        &write(&(0..5).map(|_| row(0)).collect::<Vec<_>>(), 5, ("img", "label")),
        &["no column `image.bytes`", "img.bytes"],
    );
    let rows =
        |picture: Vec<u8>| (0..5).map(|i| (if i == 3 { picture.clone() } else { row(0).0 }, 0)).collect::<Vec<_>>();
    bad(&write(&rows(vec![]), 5, ("image", "label")), &["b.parquet, row 3", "is empty"]);
    bad(&write(&rows(b"not a picture".to_vec()), 5, ("image", "label")), &["row 3", "neither a JPEG nor a PNG"]);
    bad(&write(&rows(png(&picture(0, [1, 4, 4]), [1, 4, 4])), 5, ("image", "label")), &["row 3", "4x5", "4x4"]);
    bad(&write(&rows(png(&picture(0, [3, 4, 5]), [3, 4, 5])), 5, ("image", "label")), &["row 3", "grey"]);
    let mut cut = row(0).0;
    cut.truncate(cut.len() - 20);
    bad(&write(&rows(cut), 5, ("image", "label")), &["row 3", "broken picture"]);
    std::fs::remove_file(path.join("b.parquet")).unwrap();
    std::fs::create_dir(path.join("b.parquet")).unwrap();
    assert_says(load(path), &["b.parquet", "a folder", "expected a file"]);
}

/// Any single flipped bit gives an error or the same number of images, never a panic.
#[test]
fn flipped_bits_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    spots(folder.path());
    let good = std::fs::read(folder.path().join("b.parquet")).unwrap();
    let mut refused = 0;
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(folder.path().join("b.parquet"), &bytes).unwrap();
        match load(folder.path()) {
            Ok(data) => assert_eq!((data.train.len(), data.test.len()), (12, 4)),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > good.len() / 4, "{refused} of {} noticed", good.len());
}
