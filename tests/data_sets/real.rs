//! Pieces of the real data sets, where WORKBENCH_DATA names a folder that holds them; skipped otherwise.

use crate::common::data::{all, assert_says, gz, labels, limits, put, real, unpacked};
use std::path::PathBuf;
use workbench::data::{Augmentation, BatchOrder, Batches, Dataset, Options, Split};

#[test]
fn mnist_where_it_is_at_hand() {
    if real("mnist").is_none() {
        return;
    }
    let data = Dataset::load("mnist", &Options::default()).expect("WORKBENCH_DATA holds MNIST");
    assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
    assert_eq!((data.shape.as_slice(), data.classes), (&[1, 28, 28][..], 10));
    assert_eq!(labels(&data.train)[..5], [5, 0, 4, 1, 9]);
    assert_eq!(data.train.class_counts(), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(data.test.class_counts(), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);

    // Turn what is there around: unpack the packed files and pack the plain ones.
    let other = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&data.source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match name.strip_suffix(".gz") {
            Some(plain) if name.contains("-ubyte") => {
                put(other.path(), plain, &unpacked(&path));
            }
            None if name.ends_with("-ubyte") => {
                put(other.path(), &format!("{name}.gz"), &gz(&std::fs::read(&path).unwrap()))
            }
            _ => {}
        }
    }
    let options = Options { data_dir: Some(other.path().into()), ..Options::default() };
    let turned = Dataset::load("mnist", &options).unwrap();
    assert_eq!(PathBuf::from(&turned.source), other.path(), "--data-dir goes before WORKBENCH_DATA");
    for (a, b) in [(&data.train, &turned.train), (&data.test, &turned.test)] {
        assert_eq!(labels(a), labels(b));
        let flat = |s: &Split| -> Vec<f32> { s.images(&all(s)).unwrap().flatten_all().unwrap().to_vec1().unwrap() };
        assert!(flat(a) == flat(b), "packed and plain files give the same images");
    }
}

#[test]
fn cifar10_where_it_is_at_hand() {
    let Some(folder) = real("cifar10/cifar-10-batches-bin") else { return };
    let data = Dataset::load("cifar10", &limits(20_000, 2000)).expect("the first 20000 and 2000 images");
    assert_eq!((data.train.len(), data.test.len()), (20_000, 2000));
    assert_eq!((data.shape.as_slice(), data.classes), (&[3, 32, 32][..], 10));
    assert_eq!(PathBuf::from(&data.source), folder);
    assert!(data.warnings.is_empty(), "{:?}", data.warnings);
    // The published classes of the first images: frog, truck, truck, deer, car; cat, ship, ship, plane, frog.
    assert_eq!(labels(&data.train)[..5], [6, 9, 9, 4, 1]);
    assert_eq!(labels(&data.test)[..5], [3, 8, 8, 0, 6]);

    // Against the bytes of the files, read here.
    let record = |file: &str, number: usize| {
        let packed = folder.join(format!("{file}.gz"));
        let bytes = if packed.exists() { unpacked(&packed) } else { std::fs::read(folder.join(file)).unwrap() };
        bytes[number * 3073..][..3073].to_vec()
    };
    let same = |split: &Split, index: u32, record: &[u8]| {
        assert_eq!(labels(split)[index as usize], u32::from(record[0]));
        let image: Vec<f32> = split.images(&[index]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let bytes: Vec<f32> = record[1..].iter().map(|b| (f64::from(*b) / 255.0) as f32).collect();
        assert!(image == bytes, "{} image {index}", split.name());
    };
    same(&data.test, 0, &record("test_batch.bin", 0));
    same(&data.test, 1999, &record("test_batch.bin", 1999));
    same(&data.train, 9999, &record("data_batch_1.bin", 9999));
    same(&data.train, 10_000, &record("data_batch_2.bin", 0));
}

#[test]
fn an_excerpt_of_cifar10_says_what_it_is_enough_for() {
    let Some(folder) = real("cifar10/cifar-10-batches-bin") else { return };
    if folder.join("data_batch_5.bin").exists() || folder.join("data_batch_5.bin.gz").exists() {
        eprintln!("skipped: this is all of CIFAR-10");
        return;
    }
    let whole = Dataset::load("cifar10", &Options::default());
    assert_says(whole, &["data_batch_3.bin", "--data-dir", "train_limit: 20000"]);
    let test = Dataset::load("cifar10", &Options { train_limit: Some(64), ..Options::default() });
    assert_says(test, &["test_batch.bin.gz is cut off", "expected 30730000 bytes", "6146000", "test_limit: 2000"]);
}

#[test]
fn tiny_imagenet_where_it_is_at_hand() {
    let Some(folder) = real("tiny-imagenet-200") else { return };
    let data = Dataset::load("tiny_imagenet", &limits(200, 100)).expect("the first 200 and 100 images");
    assert_eq!((data.train.len(), data.test.len()), (200, 100));
    assert_eq!((data.shape.as_slice(), data.classes), (&[3, 64, 64][..], 200));
    assert_eq!(PathBuf::from(&data.source), folder);
    let listed = std::fs::read_to_string(folder.join("wnids.txt")).unwrap().lines().count() as u32;
    let wanted: Vec<u32> = (0..200).map(|i| i % listed).collect();
    assert_eq!(labels(&data.train), wanted, "as many of every class");
    if listed < 200 {
        let note = format!("names {listed} of the 200 classes");
        assert!(data.warnings[0].contains(&note), "{:?}", data.warnings);
        assert_says(Dataset::load("tiny_imagenet", &Options::default()), &["wnids.txt", "200", "train_limit"]);
    }

    // Image 0 against the decoder called directly.
    let mut classes: Vec<String> =
        std::fs::read_to_string(folder.join("wnids.txt")).unwrap().lines().map(str::to_owned).collect();
    classes.sort();
    let first = folder.join(format!("train/{0}/images/{0}_0.JPEG", classes[0]));
    let picture = image::load_from_memory(&std::fs::read(first).unwrap()).unwrap().to_rgb8();
    let read: Vec<f32> = data.train.images(&[0]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    for (x, y, pixel) in picture.enumerate_pixels() {
        for channel in 0..3 {
            let value = read[channel * 4096 + y as usize * 64 + x as usize];
            assert_eq!(value, (f64::from(pixel.0[channel]) / 255.0) as f32, "channel {channel}, ({x}, {y})");
        }
    }
}

#[test]
fn grey_pictures_of_tiny_imagenet_have_three_equal_channels() {
    if real("tiny-imagenet-200").is_none() {
        return;
    }
    let data = Dataset::load("tiny_imagenet", &limits(500, 500)).expect("the first 500 and 500 images");
    let grey = |split: &Split| {
        let images: Vec<f32> = split.images(&all(split)).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        images.chunks(3 * 4096).filter(|i| i[..4096] == i[4096..8192] && i[..4096] == i[8192..]).count()
    };
    // About 2 % of all images; far from none and from all, whichever classes there are.
    let count = grey(&data.train) + grey(&data.test);
    assert!((1..200).contains(&count), "{count} grey pictures");
}

#[test]
fn real_images_are_augmented_in_training_passes_only() {
    if real("cifar10/cifar-10-batches-bin").is_none() {
        return;
    }
    let options =
        Options { augmentation: Augmentation { crop: 4, flip: true, ..Augmentation::NONE }, ..limits(512, 64) };
    let data = Dataset::load("cifar10", &options).unwrap();
    let first = |mut batches: Batches| batches.next().unwrap().unwrap().x;
    let order = BatchOrder::Sequential;
    let bits = |t: candle_core::Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
    let plain = bits(data.train.images(&all(&data.train)).unwrap());
    assert!(bits(first(data.train.batches(512, order).unwrap())) == plain);
    assert!(bits(first(data.train.batches(512, order).unwrap().augmented(0))) != plain);
    let test = bits(data.test.images(&all(&data.test)).unwrap());
    assert!(bits(first(data.test.batches(64, order).unwrap().augmented(0))) == test);
}
