//! Pictures in folders: their order and labels, excerpts, and every way a picture, a list or a folder can be wrong.

use crate::common::data::{all, assert_says, labels, limits, load, load_with, pictures, put};
use crate::common::values;
use image::ExtendedColorType;
use pictures::{TRAIN, jpeg, png};
use std::path::Path;
use tempfile::TempDir;
use workbench::data::{Dataset, Options, Split};

fn toy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    pictures::write(dir.path());
    dir
}

fn remove(dir: &Path, file: &str) {
    std::fs::remove_file(dir.join(file)).unwrap();
}

/// The shade of each image, which must be the same everywhere.
fn shades(split: &Split) -> Vec<u8> {
    let images = values(&split.images(&all(split)).unwrap());
    let shade = |image: &[f64]| {
        assert!(image.iter().all(|v| *v == image[0]), "{image:?}");
        (image[0] * 255.0).round() as u8
    };
    images.chunks(split.shape().iter().product()).map(shade).collect()
}

/// What loading says when `file` holds `bytes` instead.
fn assert_refused(file: &str, bytes: &[u8], parts: &[&str]) {
    let dir = toy();
    put(dir.path(), file, bytes);
    assert_says(load(dir.path()), &[&[file], parts].concat());
}

#[test]
fn the_first_of_every_class_then_the_second() {
    let data = load(toy().path()).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.shape.as_slice()), (8, 4, &[3, 4, 5][..]));
    assert_eq!(shades(&data.train), [0, 10, 20, 30, 40, 50, 60, 70]);
    assert_eq!(labels(&data.train), TRAIN.map(|(_, label)| label));
    // The annotated ones by number: v_1, v_2, v_3, v_10.
    assert_eq!((shades(&data.test), labels(&data.test)), (vec![101, 102, 103, 110], vec![2, 1, 0, 0]));
}

#[test]
fn lists_may_be_saved_as_on_windows() {
    let dir = toy();
    for file in ["classes.txt", "val/list.txt"] {
        let text = std::fs::read_to_string(dir.path().join(file)).unwrap().replace('\n', "\r\n");
        put(dir.path(), file, format!("\u{feff}{text}").as_bytes());
    }
    let data = load(dir.path()).unwrap();
    assert_eq!(labels(&data.train), TRAIN.map(|(_, label)| label));
    assert_eq!((shades(&data.test), labels(&data.test)), (vec![101, 102, 103, 110], vec![2, 1, 0, 0]));
    assert_refused("classes.txt", b"\xef\xbb\xbfape\r\n../bee\r\n", &["line 2", "`../bee`"]);
}

#[test]
fn split_by_class_folders_without_subfolders() {
    let dir = toy();
    let manifest = pictures::MANIFEST.replace(", subfolder: images, annotations: list.txt", "");
    put(dir.path(), "my.yaml", manifest.replace("folder: val", "folder: other").as_bytes());
    for (class, shade) in [("cat", 3), ("ape", 1), ("bee", 2)] {
        put(dir.path(), &format!("other/{class}/a.jpg"), &jpeg(shade, 5, 4));
    }
    put(dir.path(), "other/bee/b.PNG", &png(&[9; 20], 5, 4, ExtendedColorType::L8));
    let data = load(dir.path()).unwrap();
    assert_eq!((shades(&data.test), labels(&data.test)), (vec![1, 2, 3, 9], vec![0, 1, 2, 1]));
}

#[test]
fn channels_and_pixels_are_in_their_places() {
    let dir = toy();
    let pixels: Vec<u8> = (0..60).map(|v| v * 4).collect();
    put(dir.path(), "train/ape/images/ape_2.JPEG", &png(&pixels, 5, 4, ExtendedColorType::Rgb8));
    let data = load(dir.path()).unwrap();
    let image: Vec<u8> = values(&data.train.images(&[0]).unwrap()).iter().map(|v| (v * 255.0).round() as u8).collect();
    let wanted: Vec<u8> = (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied()).collect();
    assert_eq!(image, wanted);
}

#[test]
fn other_files_beside_the_pictures_do_not_count() {
    let dir = toy();
    for file in ["train/ape/ape_boxes.txt", "train/ape/images/.DS_Store", "train/ape/images/._ape_2.JPEG"] {
        put(dir.path(), file, b"no picture");
    }
    put(dir.path(), "train/dog/images/dog_1.JPEG", b"of no listed class");
    assert_eq!(shades(&load(dir.path()).unwrap().train).len(), 8);
}

#[test]
fn a_limit_reads_only_what_it_needs() {
    let dir = toy();
    // Broken, but behind the limits.
    put(dir.path(), TRAIN[5].0, b"");
    put(dir.path(), "val/images/v_10.JPEG", b"");
    let data = load_with(dir.path(), &limits(5, 3)).unwrap();
    assert_eq!((shades(&data.train), shades(&data.test)), (vec![0, 10, 20, 30, 40], vec![101, 102, 103]));
    assert!(data.warnings.is_empty(), "{:?}", data.warnings);
    assert_says(load_with(dir.path(), &limits(6, 3)), &[TRAIN[5].0, "empty"]);
    // Two pictures are those of the first two classes.
    std::fs::remove_dir_all(dir.path().join("train/cat")).unwrap();
    remove(dir.path(), "val/images/v_10.JPEG");
    let data = load_with(dir.path(), &limits(2, 3)).unwrap();
    assert_eq!(labels(&data.train), [0, 1]);
    assert!(data.warnings[0].contains("first 2 train images hold none of class 2"), "{:?}", data.warnings);
}

#[test]
fn excerpts() {
    let dir = toy();
    remove(dir.path(), TRAIN[7].0);
    assert_says(load(dir.path()), &["train: expected 8 images, found 7", "train_limit: 7"]);
    assert_eq!(load_with(dir.path(), &limits(7, 4)).unwrap().train.len(), 7);

    // Fewer classes: labels count those that are listed, and that is said.
    put(dir.path(), "classes.txt", b"cat\nbee\n");
    put(dir.path(), "val/list.txt", b"v_1.JPEG\tcat\nv_2.JPEG\tbee\n");
    let data = load_with(dir.path(), &limits(3, 2)).unwrap();
    assert_eq!((labels(&data.train), labels(&data.test), data.classes), (vec![0, 1, 0], vec![1, 0], 3));
    assert_eq!(data.warnings.len(), 1, "{:?}", data.warnings);
    assert!(data.warnings[0].contains("names 2 of the 3 classes: labels count these, 0..=1"), "{:?}", data.warnings);
    let way_out = ["classes.txt names 2 classes; expected 3", "train_limit and test_limit"];
    assert_says(load(dir.path()), &way_out);
    let only_train = Options { train_limit: Some(3), ..Options::default() };
    assert_says(load_with(dir.path(), &only_train), &way_out);
    assert_says(load_with(dir.path(), &limits(3, 3)), &["list.txt: expected 3 images, found 2", "test_limit: 2"]);
    assert_says(load_with(dir.path(), &limits(7, 2)), &["expected 7 images, found 4", "train_limit: 4"]);
}

#[test]
fn broken_pictures() {
    let file = TRAIN[4].0;
    let whole = jpeg(40, 5, 4);
    assert_refused(file, b"", &["empty", "JPEG or PNG"]);
    assert_refused(file, b"GIF89a and so on", &["neither a JPEG nor a PNG"]);
    assert_refused(file, &whole[..whole.len() - 2], &["cut off", "no end marker"]);
    assert_refused(file, &[0xff, 0xd8, 0xff, 0xe0, 0xff, 0xd9], &["broken picture"]);
    assert_refused(file, &jpeg(40, 4, 5), &["images of 4x5", "found 5x4"]);
    assert_refused(file, &jpeg(40, 500, 400), &["images of 4x5", "found 400x500"]);
    let png_file = png(&[7; 20], 5, 4, ExtendedColorType::L8);
    assert_refused(file, &png_file[..png_file.len() - 20], &["broken picture"]);
    let mut damaged = png_file.clone();
    let at = damaged.len() - 20; // in the compressed pixels or their checksum
    damaged[at] ^= 0x55;
    assert_refused(file, &damaged, &["broken picture"]);
    let alpha = png(&[7; 80], 5, 4, ExtendedColorType::Rgba8);
    assert_refused(file, &alpha, &["Rgba8", "grey or red, green and blue"]);
    // Cut off anywhere, it is refused and does not crash.
    let dir = toy();
    for length in 0..whole.len() {
        put(dir.path(), file, &whole[..length]);
        assert!(load(dir.path()).is_err(), "{length} of {} bytes", whole.len());
    }
    // Zeros behind the end are harmless.
    put(dir.path(), file, &[&whole[..], &[0; 9]].concat());
    assert_eq!(shades(&load(dir.path()).unwrap().train)[4], 40);
}

#[test]
fn the_first_broken_picture_is_named() {
    for _ in 0..20 {
        let dir = toy();
        for (path, _) in &TRAIN[2..] {
            put(dir.path(), path, b"broken");
        }
        assert_says(load(dir.path()), &[TRAIN[2].0]);
    }
}

#[test]
fn one_channel_takes_grey_pictures_only() {
    let dir = toy();
    put(dir.path(), "my.yaml", pictures::MANIFEST.replace("[3, 4, 5]", "[1, 4, 5]").as_bytes());
    let data = load(dir.path()).unwrap();
    assert_eq!((data.train.shape(), shades(&data.train)[7]), ([1, 4, 5], 70));
    put(dir.path(), TRAIN[4].0, &png(&[7; 60], 5, 4, ExtendedColorType::Rgb8));
    assert_says(load(dir.path()), &[TRAIN[4].0, "Rgb8", "expected grey"]);
}

#[test]
fn folders_of_classes() {
    let dir = toy();
    std::fs::remove_dir_all(dir.path().join("train/bee/images")).unwrap();
    assert_says(load(dir.path()), &["train/bee/images does not exist", "classes.txt names the class"]);
    std::fs::create_dir(dir.path().join("train/bee/images")).unwrap();
    assert_says(load(dir.path()), &["train/bee/images holds no JPEG or PNG file", "classes.txt"]);
    let dir = toy();
    put(dir.path(), "train/cat/images/cat_11.JPEG", &jpeg(1, 5, 4));
    assert_says(load(dir.path()), &["train: expected 8 images", "found 9"]);
    let dir = toy();
    remove(dir.path(), "classes.txt");
    assert_says(load(dir.path()), &["classes.txt was found nowhere", "--data-dir"]);
}

#[test]
fn lists() {
    assert_refused("classes.txt", b"ape\n../bee\ncat\n", &["line 2", "../bee", "plain name"]);
    assert_refused("classes.txt", b"ape\n\ncat\n", &["line 2", "plain name"]);
    assert_refused("classes.txt", b"ape\ncat\nape\n", &["names ape twice"]);
    assert_refused("classes.txt", b"ape\nbee\ncat\ndog\n", &["names 4 classes", "expected 3"]);
    assert_refused("classes.txt", b"ape\nb\xff\n", &["not UTF-8"]);
    assert_refused("classes.txt", b"", &["empty"]);
    assert_refused("val/list.txt", b"v_1.JPEG\tcat\nv_2.JPEG\tdog\n", &["line 2", "unknown class dog", "classes.txt"]);
    assert_refused("val/list.txt", b"v_1.JPEG cat\n", &["line 1", "a tab", "v_1.JPEG cat"]);
    assert_refused("val/list.txt", b"../v_1.JPEG\tcat\n", &["line 1", "plain name", "../v_1.JPEG"]);
    assert_refused("val/list.txt", b"v_1.JPEG\tcat\nv_2.JPEG\tbee\nv_1.JPEG\tbee\n", &["line 3", "line 1", "v_1.JPEG"]);
    let four = b"v_1.JPEG\tcat\nv_2.JPEG\tbee\nv_3.JPEG\tape\nv_4.JPEG\tape\n";
    assert_refused("val/list.txt", four, &["line 4", "v_4.JPEG", "val/images"]);
    let dir = toy();
    remove(dir.path(), "val/list.txt");
    assert_says(load(dir.path()), &["cannot read", "val/list.txt"]);
}

#[test]
fn manifests_are_checked() {
    let refused = |from: &str, to: &str, parts: &[&str]| {
        let dir = toy();
        assert!(pictures::MANIFEST.contains(from), "{from}");
        put(dir.path(), "my.yaml", pictures::MANIFEST.replacen(from, to, 1).as_bytes());
        assert_says(load(dir.path()), &[&["my.yaml"], parts].concat());
    };
    refused("scale: 255", "scale: 16", &["scale: 16", "needs 255"]);
    refused("[3, 4, 5]", "[2, 4, 5]", &["2 channels", "1 (grey) or 3"]);
    refused("class_list: classes.txt\n", "", &["class_list", "missing", "folders"]);
    refused("folder: train, ", "", &["splits.train.folder", "missing"]);
    refused("folder: val", "folder: train", &["train and test", "same folder"]);
    refused("folder: val", "folder: ../val", &["../val", "plain name"]);
    refused("annotations: list.txt", "annotations: a/list.txt", &["a/list.txt", "plain name"]);
    refused("subfolder: images }", "subfolder: images, first_row: 1 }", &["splits.train.first_row", "not used"]);
    let known: Vec<_> = workbench::data::names().iter().map(|n| Dataset::load(n, &limits(1, 0))).collect();
    assert!(known.iter().all(|d| d.as_ref().is_err_and(|e| e.to_string().contains("test_limit is 0"))), "{known:?}");
}
