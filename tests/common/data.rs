//! Small data sets in folders of their own, and what tests ask of splits.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use workbench::data::{self, Dataset, Options, Split};

pub fn digits(options: &Options) -> Dataset {
    Dataset::load("digits", options).expect("the digits are built in")
}

pub fn all(split: &Split) -> Vec<u32> {
    (0..split.len() as u32).collect()
}

pub fn labels(split: &Split) -> Vec<u32> {
    split.labels(&all(split)).unwrap().to_vec1().unwrap()
}

/// The error's message must hold every one of `parts`.
#[track_caller]
pub fn assert_says<T>(result: Result<T, impl std::fmt::Display>, parts: &[&str]) {
    let Err(error) = result else { panic!("expected an error that says {parts:?}") };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn unpacked(path: &Path) -> Vec<u8> {
    let (file, mut bytes) = (std::fs::File::open(path).unwrap(), Vec::new());
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Write a file, and the folder it is in.
pub fn put(dir: &Path, file: &str, bytes: &[u8]) {
    let path = dir.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The data set of the manifest `my.yaml` in `dir`.
pub fn load(dir: &Path) -> data::Result<Dataset> {
    load_with(dir, &Options::default())
}

pub fn load_with(dir: &Path, options: &Options) -> data::Result<Dataset> {
    Dataset::load(dir.join("my.yaml").to_str().unwrap(), options)
}

pub fn limits(train: usize, test: usize) -> Options {
    Options { train_limit: Some(train), test_limit: Some(test), ..Options::default() }
}

/// `file` below the folder that WORKBENCH_DATA names; without it, says that the test is skipped.
pub fn real(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WORKBENCH_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
    let found = folder.map(|f| f.join(file)).filter(|f| f.exists());
    if found.is_none() {
        eprintln!("skipped: WORKBENCH_DATA does not name a folder with {file}");
    }
    found
}

/// A toy data set in CIFAR's format: images [3, 2, 2], 2 classes, two training files of 3 records and a test file of 2.
/// Record `r` of the split holds label `r % 2` and the values 12 r, 12 r + 1, ...
pub mod cifar {
    use super::*;

    pub const MANIFEST: &str = "\
name: toy
title: Eight images
shape: [3, 2, 2]
classes: 2
scale: 255
format: cifar
folder: toy-bin
splits:
  train: { size: 6, files: [one.bin, two.bin] }
  test: { size: 2, files: [three.bin] }
licence: none
citation: none
";

    pub fn records(numbers: std::ops::Range<u8>) -> Vec<u8> {
        numbers.flat_map(|r| std::iter::once(r % 2).chain(12 * r..12 * (r + 1))).collect()
    }

    pub fn write(dir: &Path) {
        put(dir, "my.yaml", MANIFEST.as_bytes());
        put(dir, "one.bin", &records(0..3));
        put(dir, "two.bin", &records(3..6));
        put(dir, "three.bin", &records(0..2));
    }
}

/// A toy data set of pictures: images [3, 4, 5], classes `ape`, `bee`, `cat`; for training `ape` and `bee` have 3 pictures,
/// numbered 2, 9 and 10, and `cat` has 2; to test on there are 4 annotated ones.
pub mod pictures {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    pub const MANIFEST: &str = "\
name: toy
title: Twelve pictures
shape: [3, 4, 5]
classes: 3
scale: 255
format: folders
class_list: classes.txt
splits:
  train: { size: 8, folder: train, subfolder: images }
  test: { size: 4, folder: val, subfolder: images, annotations: list.txt }
licence: none
citation: none
";

    /// Training pictures in the order in which they are read: one of every class, then the next; with their labels.
    pub const TRAIN: [(&str, u32); 8] = [
        ("train/ape/images/ape_2.JPEG", 0),
        ("train/bee/images/bee_2.JPEG", 1),
        ("train/cat/images/cat_2.JPEG", 2),
        ("train/ape/images/ape_9.JPEG", 0),
        ("train/bee/images/bee_9.JPEG", 1),
        ("train/cat/images/cat_9.JPEG", 2),
        ("train/ape/images/ape_10.JPEG", 0),
        ("train/bee/images/bee_10.JPEG", 1),
    ];

    /// A grey JPEG of one shade, which the format keeps exactly.
    pub fn jpeg(shade: u8, width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let pixels = vec![shade; (width * height) as usize];
        JpegEncoder::new_with_quality(&mut bytes, 100)
            .write_image(&pixels, width, height, ExtendedColorType::L8)
            .unwrap();
        bytes
    }

    /// A PNG of the given pixels.
    pub fn png(pixels: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes).write_image(pixels, width, height, color).unwrap();
        bytes
    }

    /// Training picture `i` is of shade `10 * i`, test picture `n` of shade `100 + n`.
    pub fn write(dir: &Path) {
        put(dir, "my.yaml", MANIFEST.as_bytes());
        put(dir, "classes.txt", b"cat\nape\nbee\n");
        for (i, (path, _)) in TRAIN.iter().enumerate() {
            put(dir, path, &jpeg(10 * i as u8, 5, 4));
        }
        let list = "v_10.JPEG\tape\t0\t0\t1\t1\nv_1.JPEG\tcat\t0\t0\t1\t1\nv_2.JPEG\tbee\nv_3.JPEG\tape\n";
        put(dir, "val/list.txt", list.as_bytes());
        for n in [1, 2, 3, 10] {
            put(dir, &format!("val/images/v_{n}.JPEG"), &jpeg(100 + n, 5, 4));
        }
    }
}
