//! Data sets of one's own without a manifest: folders of pictures and arrays, in the library and in scripts.

use crate::common::data::{all, assert_says, labels, put};
use crate::common::program::Folder;
use crate::common::values;
use candle_core::{DType, Device, Tensor};
use image::{ExtendedColorType, ImageEncoder};
use std::path::Path;
use tempfile::TempDir;
use workbench::data::{self, Augmentation, Dataset, Fit, Options, Pictures, Share, Split};

/// The first value of each image, which tells them apart in the toys below.
fn firsts(split: &Split) -> Vec<u32> {
    let images = values(&split.images(&all(split)).unwrap());
    let pixels = split.shape().iter().product();
    images.chunks(pixels).map(|image| (image[0] * 255.0).round() as u32).collect()
}

fn says<T: std::fmt::Debug>(result: data::Result<T>) -> String {
    result.expect_err("an error").to_string()
}

// ---- a folder of pictures ----

/// A picture [channels, 4, 5] whose first pixel is `first`.
fn png(first: u8, channels: usize) -> Vec<u8> {
    picture(first, channels, (4, 5))
}

fn picture(first: u8, channels: usize, (height, width): (usize, usize)) -> Vec<u8> {
    let pixels: Vec<u8> = (0..channels * height * width).map(|at| first.wrapping_add(3 * at as u8)).collect();
    let color = if channels == 3 { ExtendedColorType::Rgb8 } else { ExtendedColorType::L8 };
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(&pixels, width as u32, height as u32, color).unwrap();
    bytes
}

/// `train` and `test` with the classes `ant`, `bee` and `cat`; picture `n` of class `k` begins with 20 k + n.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (k, class) in ["ant", "bee", "cat"].into_iter().enumerate() {
        for n in [1, 2, 10].into_iter().take(if class == "bee" { 2 } else { 3 }) {
            put(dir.path(), &format!("train/{class}/p{n}.png"), &png(20 * k as u8 + n, 3));
        }
        put(dir.path(), &format!("test/{class}/q.PNG"), &png(100 + k as u8, 3));
    }
    dir
}

fn path(dir: &Path) -> String {
    format!("{}/", dir.display())
}

fn load(dir: &Path) -> data::Result<Dataset> {
    Dataset::load(&path(dir), &Options::default())
}

#[test]
fn folders_of_train_and_test() {
    let dir = folder();
    put(dir.path(), "train/notes.txt", b"beside the classes");
    put(dir.path(), "train/ant/notes.txt", b"beside the pictures");
    std::fs::create_dir(dir.path().join("train/.cache")).unwrap();
    let data = load(dir.path()).unwrap();
    assert_eq!((data.shape.as_slice(), data.classes), (&[3, 4, 5][..], 3));
    // One of every class, then the next; by number within a class.
    assert_eq!(firsts(&data.train), [1, 21, 41, 2, 22, 42, 10, 50]);
    assert_eq!(labels(&data.train), [0, 1, 2, 0, 1, 2, 0, 2]);
    assert_eq!((firsts(&data.test), labels(&data.test)), (vec![100, 101, 102], vec![0, 1, 2]));
    assert_eq!(data.name, dir.path().file_name().unwrap().to_str().unwrap());
    assert!(data.warnings.is_empty() && data.source == path(dir.path()));
    let image = values(&data.train.images(&[1]).unwrap());
    let wanted: Vec<f64> = (0..60).map(|at| f64::from(((21 + 3 * (3 * (at % 20) + at / 20)) as f32) / 255.0)).collect();
    assert!(image.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-7), "channel by channel");

    let options = Options { train_limit: Some(4), test_limit: Some(2), pad: 1, ..Options::default() };
    let limited = Dataset::load(&path(dir.path()), &options).unwrap();
    assert_eq!((limited.train.len(), limited.test.len(), limited.shape.as_slice()), (4, 2, &[3, 6, 7][..]));
    assert_eq!(limited.warnings, ["the test images hold none of `cat`"]);
    let options = Options { validation: Some(Share::Count(2)), per_class: Some(2), ..Options::default() };
    let parts = Dataset::load(&path(dir.path()), &options).unwrap();
    assert_eq!((parts.train.len(), parts.validation().unwrap().len()), (4, 2));

    std::fs::rename(dir.path().join("test"), dir.path().join("val")).unwrap();
    assert_eq!(firsts(&load(dir.path()).unwrap().test), [100, 101, 102]);
    std::fs::remove_dir_all(dir.path().join("val/bee")).unwrap();
    assert_eq!(load(dir.path()).unwrap().warnings, ["the test images hold none of `bee`"]);
    put(dir.path(), "test/cat/q.png", &png(9, 3));
    let both = load(dir.path()).unwrap();
    assert_eq!((firsts(&both.test), firsts(both.validation().unwrap())), (vec![9], vec![100, 102]));
    assert_eq!(both.warnings.len(), 2, "{:?}", both.warnings);
    let options = Options { validation: Some(Share::Count(2)), ..Options::default() };
    assert_says(Dataset::load(&path(dir.path()), &options), &["validation is 2", "validation images of its own"]);
}

#[test]
fn folders_are_called_in_any_case_and_may_be_for_tests_alone() {
    let dir = folder();
    std::fs::rename(dir.path().join("train"), dir.path().join("Train")).unwrap();
    std::fs::rename(dir.path().join("test"), dir.path().join("TEST")).unwrap();
    let data = load(dir.path()).unwrap();
    assert_eq!(
        (data.train.len(), data.test.len(), data.class_names),
        (8, 3, vec!["ant".into(), "bee".into(), "cat".into()])
    );
    std::fs::create_dir(dir.path().join("train")).unwrap();
    assert_says(load(dir.path()), &["lies beside it", "which of the two"]);
    std::fs::remove_dir(dir.path().join("train")).unwrap();
    std::fs::remove_dir_all(dir.path().join("Train")).unwrap();
    let data = load(dir.path()).unwrap();
    assert_eq!((data.train.len(), firsts(&data.test)), (0, vec![100, 101, 102]));
    assert_says(data.training(), &["here without training images", "put their files beside"]);
    assert!(data.warnings[0].contains("can be tested on; labels count the classes of"), "{:?}", data.warnings);
}

#[test]
fn pictures_are_made_alike_where_that_is_asked_for() {
    let dir = folder();
    let deep: Vec<u8> = (0..20_u16).flat_map(|v| (v * 3000).to_ne_bytes()).collect();
    let coded = |bytes: &[u8], (w, h): (u32, u32), color| {
        let mut out = Vec::new();
        image::codecs::png::PngEncoder::new(&mut out).write_image(bytes, w, h, color).unwrap();
        out
    };
    put(dir.path(), "train/ant/p2.png", &coded(&deep, (5, 4), ExtendedColorType::L16));
    put(dir.path(), "train/bee/p2.png", &coded(&[200, 100, 0, 51].repeat(20), (5, 4), ExtendedColorType::Rgba8));
    put(dir.path(), "train/cat/p2.png", &coded(&[60; 7 * 14], (14, 7), ExtendedColorType::L8));
    put(dir.path(), "train/ant/p10.bmp", &{
        let mut out = Vec::new();
        image::codecs::bmp::BmpEncoder::new(&mut out).write_image(&[9; 60], 5, 4, ExtendedColorType::Rgb8).unwrap();
        out
    });
    put(dir.path(), "train/bee/p10.webp", &{
        let mut out = Vec::new();
        image::codecs::webp::WebPEncoder::new_lossless(&mut out)
            .write_image(&[8; 60], 5, 4, ExtendedColorType::Rgb8)
            .unwrap();
        out
    });
    let look = |pictures: Pictures, size| {
        let options = Options { pictures, size, ..Options::default() };
        Dataset::load(&path(dir.path()), &options)
    };
    let all = Pictures { channels: Some(3), background: Some([0, 255, 100]), depth: Some(8), ..Pictures::default() };
    assert_says(look(Pictures::default(), None), &["p2.png", "`depth: 8`"]);
    assert_says(
        look(Pictures { depth: Some(8), ..Pictures::default() }, None),
        &["4x5 in grey", "`channels: 1` or `3`"],
    );
    assert_says(look(Pictures { background: None, ..all.clone() }, Some([4, 5])), &["Rgba8", "`background: 255`"]);
    assert_says(look(all.clone(), None), &["7x14", "`size: [32, 32]`"]);
    assert_says(
        look(Pictures { fit: Some(Fit::Center), ..all.clone() }, Some([8, 8])),
        &["smaller than 8x8", "`fit: crop`"],
    );
    let data = look(all.clone(), Some([4, 5])).unwrap();
    let pixels = values(&data.train.images(&[3, 4, 5]).unwrap());
    let bytes: Vec<u8> = pixels.iter().map(|v| (v * 255.0).round() as u8).collect();
    assert_eq!(bytes[..4], [0, 12, 23, 35], "16 bits, rounded: 3000 / 257");
    assert_eq!((bytes[60], bytes[80], bytes[100]), (40, 224, 80), "a fifth of [200, 100, 0] over [0, 255, 100]");
    assert_eq!(bytes[120..], [60; 60], "scaled");
    assert!(
        data.warnings[0].contains("rounded to 8 bits, made colour, scaled to cover the size"),
        "{:?}",
        data.warnings
    );
    for fit in [Fit::Stretch, Fit::Crop] {
        assert_eq!(look(Pictures { fit: Some(fit), ..all.clone() }, Some([3, 3])).unwrap().shape, [3, 3, 3]);
    }
    let padded = look(Pictures { fit: Some(Fit::Pad), ..all }, Some([7, 7])).unwrap();
    let image = values(&padded.train.images(&[5]).unwrap());
    assert!(image[0] == 0.0 && image[24] > 0.2, "7x14 lies in the middle of 7x7, the background above it");
}

#[test]
fn folders_without_test_images_are_divided() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..30 {
        put(dir.path(), &format!("{}/{n}.png", if n % 3 == 0 { "odd" } else { "even" }), &png(n, 1));
    }
    let load = |test, seed| Dataset::load(&path(dir.path()), &Options { test, seed, ..Options::default() }).unwrap();
    let data = load(None, 7);
    assert_eq!(
        (data.shape.as_slice(), data.train.class_counts(), data.test.class_counts()),
        (&[1, 4, 5][..], vec![16, 8], vec![4, 2])
    );
    assert_eq!(data.warnings.len(), 1);
    assert!(data.warnings[0].ends_with(
        "has no test images: 6 of its 30 are set apart to test on, drawn with seed 7; `test` says how many"
    ));
    let mut both = [firsts(&data.train), firsts(&data.test)].concat();
    both.sort_unstable();
    assert_eq!(both, (0..30).collect::<Vec<_>>(), "disjoint, and together the whole");
    assert_eq!(firsts(&data.test), TEST_OF_SEED_7);
    let chosen = load(Some(Share::Count(6)), 7);
    assert_eq!((firsts(&chosen.test), chosen.warnings.len()), (firsts(&data.test), 0));
    assert_ne!(firsts(&load(Some(Share::Count(6)), 8).test), firsts(&data.test), "seeds differ");
    let refused = Options { test: Some(Share::Fraction(1.5)), ..Options::default() };
    assert_says(Dataset::load(&path(dir.path()), &refused), &["test is 1.5", "has 30 images", "from 1 to 29"]);
}

const TEST_OF_SEED_7: [u32; 6] = [0, 24, 14, 19, 25, 26];

#[test]
fn folders_that_are_none_of_a_data_set() {
    let said = |change: &dyn Fn(&Path)| {
        let dir = folder();
        change(dir.path());
        says(load(dir.path())).replace(dir.path().to_str().unwrap(), "FOLDER")
    };
    let remove = |name: &'static str| move |dir: &Path| std::fs::remove_dir_all(dir.join(name)).unwrap();
    insta::assert_snapshot!(said(&remove("test")), @"FOLDER/: holds a folder `train` but neither `test` nor `val`; put the test images there, or give the path of `train` itself, of which a part is then set apart to test on");
    insta::assert_snapshot!(said(&remove("train/bee")), @"FOLDER/test/bee: is a class that FOLDER/train does not have; remove it, or put images there");
    insta::assert_snapshot!(said(&|dir| std::fs::remove_file(dir.join("test/bee/q.PNG")).unwrap()), @"FOLDER/test/bee: holds no JPEG or PNG file; add pictures, or remove the folder");
    insta::assert_snapshot!(said(&|dir| std::fs::create_dir(dir.join("train/dog")).unwrap()), @"FOLDER/train/dog: holds no JPEG or PNG file; add pictures, or remove the folder");
    let none = said(&|dir| {
        std::fs::remove_dir_all(dir.join("train")).unwrap();
        std::fs::remove_dir_all(dir.join("test")).unwrap();
        put(dir, "p.png", &png(1, 3));
    });
    insta::assert_snapshot!(none, @"FOLDER/: holds no folder of a class; expected JPEG or PNG pictures in CLASS/, or in train/CLASS/ and test/CLASS/ (or val/CLASS/)");
    insta::assert_snapshot!(said(&|dir| put(dir, "train/cat/p2.png", &picture(1, 3, (5, 4)))), @"FOLDER/train/cat/p2.png: the picture is 5x4 in colour, but FOLDER/train/ant/p1.png is 4x5 in colour; all pictures must be alike: convert one of the two, or give an option: `size: [32, 32]` scales all to one size");
    insta::assert_snapshot!(said(&|dir| put(dir, "test/cat/q.PNG", &png(1, 1))), @"FOLDER/test/cat/q.PNG: the picture is 4x5 in grey, but FOLDER/train/ant/p1.png is 4x5 in colour; all pictures must be alike: convert one of the two, or give an option: `channels: 1` or `3` makes all grey or colour");
    insta::assert_snapshot!(said(&|dir| put(dir, "train/cat/p2.png", b"GIF89a")), @"FOLDER/train/cat/p2.png: neither a JPEG nor a PNG, BMP or WebP picture; copy or unpack it again");
    insta::assert_snapshot!(said(&|dir| put(dir, "train/ant/p1.png", b"")), @"FOLDER/train/ant/p1.png is empty: found 0 bytes, expected a JPEG or PNG picture; copy or download it again");
    let whole = png(1, 3);
    assert!(
        said(&|dir| put(dir, "train/ant/p1.png", &whole[..whole.len() - 20]))
            .contains("train/ant/p1.png: broken picture")
    );
    let dir = folder();
    assert_says(
        Dataset::load(&path(dir.path()), &Options { test: Some(Share::Count(2)), ..Options::default() }),
        &["test is 2", "has test images of its own"],
    );
    assert_says(
        Dataset::load(&path(dir.path()), &Options { train_limit: Some(9), ..Options::default() }),
        &["train_limit is 9", "has 8 train images"],
    );
    let wide = Augmentation { cutout: 5, ..Augmentation::NONE };
    assert_says(
        Dataset::load(&path(dir.path()), &Options { augmentation: wide, ..Options::default() }),
        &["cutout is 5", "images of 4x5"],
    );
}

// ---- arrays ----

/// `n` images [1, 2, 2], the values of image i all i.
fn arrays(n: usize) -> Tensor {
    let values: Vec<f64> = (0..4 * n).map(|at| (at / 4) as f64).collect();
    Tensor::from_vec(values, (n, 1, 2, 2), &Device::Cpu).unwrap()
}

#[test]
fn arrays_make_a_data_set() {
    let (x, z) = (arrays(6), arrays(2));
    let y = [0, 1, 4, 0, 1, 4];
    let options =
        Options { dtype: DType::F64, pad: 1, validation: Some(Share::Count(3)), seed: 2, ..Options::default() };
    let data = Dataset::from_arrays("mine", (&x, &y), (&z, &[1, 0]), None, &options).unwrap();
    assert_eq!((data.name.as_str(), data.shape.as_slice(), data.classes), ("mine", &[1, 4, 4][..], 5));
    assert_eq!((data.train.len(), data.validation().unwrap().class_counts()), (3, vec![1, 1, 0, 0, 1]));
    assert_eq!((data.train.dtype(), data.train.seed(), data.test.name()), (DType::F64, 2, "test"));
    assert_eq!(
        data.warnings,
        ["the train images hold none of class 2, 3", "the test images hold none of class 2, 3, 4"]
    );

    let plain = Options::default();
    let make = |train: (&Tensor, &[u32]), test: (&Tensor, &[u32]), classes| {
        says(Dataset::from_arrays("mine", train, test, classes, &plain))
    };
    let other = Tensor::zeros((2, 1, 2, 3), DType::F64, &Device::Cpu).unwrap();
    insta::assert_snapshot!(make((&x, &y), (&other, &[1, 0]), None), @"split `test`: its images are [1, 2, 3], the training images [1, 2, 2] (channels, height, width); both must be alike");
    insta::assert_snapshot!(make((&x, &y), (&z, &[1, 0]), Some(4)), @"split `train`: label 2 (counted from 0) is 4; expected 0..=3 (4 classes)");
    insta::assert_snapshot!(make((&x, &y), (&z, &[1, 70_000]), None), @"split `train`: 70001 classes; expected at most 65536");
    insta::assert_snapshot!(make((&x, &y[..5]), (&z, &[1, 0]), None), @"split `train`: 6 images but 5 labels");
    let limited = Options { test_limit: Some(3), ..Options::default() };
    insta::assert_snapshot!(says(Dataset::from_arrays("mine", (&x, &y), (&z, &[1, 0]), None, &limited)), @"test_limit is 3; data set `mine` has 2 test images: give 1..=2, or leave it out for all");
    let labels = |t: Tensor| says(data::labels("train", &t));
    let device = Device::Cpu;
    insta::assert_snapshot!(labels(Tensor::new(&[0.0f32, 1.0], &device).unwrap()), @"split `train`: labels are f32 of the shape [2]; expected integers, [n]: an array, or a tensor of dtype u32");
    insta::assert_snapshot!(labels(Tensor::new(&[[0u32, 1]], &device).unwrap()), @"split `train`: labels are u32 of the shape [1, 2]; expected integers, [n]: an array, or a tensor of dtype u32");
    insta::assert_snapshot!(labels(Tensor::new(&[0i64, -1], &device).unwrap()), @"split `train`: label 1 (counted from 0) is -1; expected 0, 1, 2, ...");
}

// ---- scripts ----

#[test]
fn scripts_load_folders_and_arrays() {
    let script = r#"
        let data = dataset("./pictures", #{ validation: 3, test: 0.25, crop: 1, flip: true, rotation: 10, cutout: 2, pad: 1 });
        print(`${data}`.split(", from")[0]);
        print(`${data.shape} ${data.validation}; ${data.train.per_class(2)}`);
        let model = sequential(data.shape, [flatten(), linear(data.classes)]);
        let optimizer = adam(model, #{ lr: 0.01 });
        for epoch in 0..2 {
            for batch in data.train.batches(4, #{ pass: epoch }) {
                optimizer.step(cross_entropy(model.forward(batch.x), batch.y));
            }
        }
        let seen = 0;
        for batch in data.validation.batches(2) { seen += batch.len(); }
        print(seen);
        let mine = dataset_from(zeros([4, 1, 2, 2]), [0, 1, 2, 1], ones([1, 1, 2, 2], "f64"), tensor([2], "u32"),
            #{ name: "mine", pad: 1, per_class: 1, validation: 0.4 });
        print(mine);
        print(dataset_from(zeros([2, 1, 2, 2]), [0, 1], ones([1, 1, 2, 2]), [1]));
    "#;
    let folder = Folder::new(&[("main.rhai", script)]);
    for n in 0..20 {
        put(folder.path(), &format!("pictures/{}/{n}.png", ["ant", "bee"][n % 2]), &png(n as u8, 3));
    }
    insta::assert_snapshot!(folder.run(&["run", "main.rhai"]), @r"
pictures in pictures: [3, 6, 7], 2 classes, 12 train (pad 1, rotation 10, crop 1, flip, cutout 2), 3 validation (pad 1), 5 test (pad 1)
[3, 6, 7] 3 images (validation) (pad 1); 4 images (train) (pad 1, rotation 10, crop 1, flip, cutout 2)
3
note: the test images hold none of class 0, 1
note: the train images hold none of class 0; take fewer validation images to have them all
note: the validation images hold none of class 1, 2; take more validation images to have them all
mine: [1, 4, 4], 3 classes, 2 train (pad 1), 1 validation (pad 1), 1 test (pad 1), from arrays in memory
note: the test images hold none of class 0
arrays: [1, 2, 2], 2 classes, 2 train, 1 test, from arrays in memory

exit code 0
");
}

#[test]
fn scripts_are_told_what_is_wrong() {
    let said = |script: &str| {
        let shown = Folder::new(&[("main.rhai", script)]).run(&["run", "main.rhai"]);
        shown.lines().find(|line| line.starts_with("error")).unwrap_or(&shown).to_owned()
    };
    insta::assert_snapshot!(said("dataset(\"digits\").validation;"), @"error: data set `digits` was loaded without validation images; ask for some where it is made, such as a tenth of the training images: `validation: 0.1`");
    insta::assert_snapshot!(said("dataset(\"digits\", #{ validation: \"0.1\" });"), @"error: dataset: option `validation` is of type string, expected a number");
    insta::assert_snapshot!(said("dataset(\"digits\", #{ validation: -5 });"), @"error: dataset: option `validation` is -5, it must be 0 or more");
    insta::assert_snapshot!(said("dataset(\"digits\", #{ rotation: -5 });"), @"error: dataset: rotation is -5 degrees: give 0 to 180, or leave it out for none");
    insta::assert_snapshot!(said("dataset(\"digits\").train.per_class(200);"), @"error: per_class is 200; split `train` has 136 images of class 8: give 1..=136, or leave it out for all");
    insta::assert_snapshot!(said("let x = zeros([1, 1, 2, 2]); dataset_from(x, [0.5], x, [0]);"), @"error: dataset_from: labels are a tensor or an array of ints, got a float");
    insta::assert_snapshot!(said("let x = zeros([1, 1, 2, 2]); dataset_from(x, \"0\", x, [0]);"), @"error: dataset_from: labels are a tensor or an array of ints, got a string");
    insta::assert_snapshot!(said("let x = zeros([1, 1, 2, 2]); dataset_from(x, [0], x, [-1]);"), @"error: dataset_from: split `test`: label 0 (counted from 0) is -1; expected 0, 1, 2, ...");
    insta::assert_snapshot!(said("let x = zeros([1, 1, 2, 2]); dataset_from(x, [0], x, [0], #{ test: 0.5 });"), @"error: dataset_from: unknown option `test`; the options are `name`, `classes`, `train_limit`, `test_limit`, `per_class`, `validation`, `pad`, `dtype`, `rotation`, `crop`, `flip`, `rand_augment`, `rand_strength`, `cutout`, `beside`, `beside_ratio`, `beside_limit`");
}
