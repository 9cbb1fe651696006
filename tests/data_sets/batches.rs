//! Passes over a split: order, sizes, augmentation, and batches made ahead on another thread.

use crate::common::data::{all, assert_says, digits};
use crate::common::{Lab, tensor_of, values};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeSet;
use workbench::data::{Augmentation, Batch, BatchOrder, Options, Split};

#[test]
fn a_pass_visits_every_index_once() {
    let train = digits(&Options::default()).train;
    for order in [BatchOrder::Sequential, BatchOrder::Shuffled { seed: 1, pass: 0 }] {
        let mut seen = Vec::new();
        let batches = train.batches(100, order).unwrap();
        assert_eq!((batches.len(), batches.count_in_pass()), (15, 15));
        for (i, batch) in batches.enumerate() {
            let batch = batch.unwrap();
            assert_eq!((batch.number, batch.count), (i, 15));
            let n = if i == 14 { 11 } else { 100 };
            assert_eq!((batch.x.dims(), batch.y.dims(), batch.index.len()), (&[n, 1, 8, 8][..], &[n][..], n));
            assert_eq!(batch.y.dtype(), DType::U32);
            // Image and label are those of the index.
            assert_eq!(values(&batch.x), values(&train.images(&batch.index).unwrap()));
            let wanted: Vec<u32> = train.labels(&batch.index).unwrap().to_vec1().unwrap();
            assert_eq!(batch.y.to_vec1::<u32>().unwrap(), wanted);
            seen.extend(batch.index);
        }
        if order == BatchOrder::Sequential {
            assert_eq!(seen, all(&train));
        } else {
            assert_ne!(seen, all(&train));
        }
        seen.sort_unstable();
        assert_eq!(seen, all(&train));
    }
}

#[test]
fn the_order_depends_on_seed_and_pass_only() {
    let train = digits(&Options::default()).train;
    let order = |seed, pass, size| -> Vec<u32> {
        train.batches(size, BatchOrder::Shuffled { seed, pass }).unwrap().flat_map(|b| b.unwrap().index).collect()
    };
    let first = order(7, 0, 64);
    assert_eq!(first, order(7, 0, 64));
    assert_eq!(first, order(7, 0, 1000), "the batch size does not change the order");
    assert_ne!(first, order(7, 1, 64), "passes differ");
    assert_ne!(first, order(8, 0, 64), "seeds differ");
    // Written down once: the order must be the same on every machine and in every later version.
    assert_eq!(first[..8], ORDER_OF_SEED_7);
}

const ORDER_OF_SEED_7: [u32; 8] = [1101, 1161, 369, 950, 1377, 1162, 711, 923];

#[test]
fn batch_sizes_at_the_edges() {
    let train = digits(&Options::default()).train;
    assert_says(train.batches(0, BatchOrder::Sequential), &["batches of 0", "train", "at least 1"]);
    assert_eq!(train.batches(usize::MAX, BatchOrder::Sequential).unwrap().len(), 1);
    let whole: Vec<_> = train.batches(1411, BatchOrder::Sequential).unwrap().collect();
    assert_eq!((whole.len(), whole[0].as_ref().unwrap().index.len()), (1, 1411));
    let full = train.batches(100, BatchOrder::Sequential).unwrap().drop_last().unwrap();
    let sizes: Vec<usize> = full.map(|b| b.map(|b| b.index.len() + 1000 * b.count).unwrap()).collect();
    assert_eq!(sizes, [14_100; 14]);
    let none = train.batches(1412, BatchOrder::Sequential).unwrap().drop_last();
    assert_says(none, &["batches of 1412", "1411", "smaller"]);
}

// ---- augmentation ----

const CROP: Augmentation = Augmentation { crop: 2, flip: true, ..Augmentation::NONE };

/// The digits with an augmentation, and those of one pass in file order, one image each.
fn augmented(augmentation: Augmentation, seed: u64, pass: u64, size: usize) -> (Split, Vec<Vec<f64>>) {
    let train = digits(&Options { augmentation, seed, ..Options::default() }).train;
    let batches = train.batches(size, BatchOrder::Sequential).unwrap().augmented(pass);
    let images = batches.flat_map(|b| values(&b.unwrap().x).chunks(64).map(<[f64]>::to_vec).collect::<Vec<_>>());
    let images = images.collect();
    (train, images)
}

/// What is left of an image [C, H, W] that is moved down by `down` and right by `right`, written pixel by pixel.
fn moved(image: &[f64], [c, h, w]: [usize; 3], (down, right): (isize, isize), flip: bool) -> Vec<f64> {
    let pixel = |plane: usize, y: usize, x: usize| {
        let x = if flip { w - 1 - x } else { x };
        let (y, x) = (y as isize - down, x as isize - right);
        let inside = (0..h as isize).contains(&y) && (0..w as isize).contains(&x);
        if inside { image[(plane * h + y as usize) * w + x as usize] } else { 0.0 }
    };
    let places = (0..c).flat_map(|plane| (0..h).flat_map(move |y| (0..w).map(move |x| (plane, y, x))));
    places.map(|(plane, y, x)| pixel(plane, y, x)).collect()
}

#[test]
fn every_image_is_one_of_the_windows_and_all_windows_occur() {
    let (train, images) = augmented(CROP, 3, 0, 100);
    let plain = values(&train.images(&all(&train)).unwrap());
    let mut seen = BTreeSet::new();
    for (image, plain) in images.iter().zip(plain.chunks(64)) {
        let mut allowed = (-2..=2).flat_map(|d| (-2..=2).flat_map(move |r| [(d, r, false), (d, r, true)]));
        let which = allowed.find(|&(down, right, flip)| *image == moved(plain, [1, 8, 8], (down, right), flip));
        seen.insert(which.expect("one of the windows"));
    }
    assert_eq!(seen.len(), 50, "25 places, each reflected or not");
}

#[test]
fn crop_and_flip_are_drawn_apart() {
    let (train, crops) = augmented(Augmentation { crop: 2, flip: false, ..Augmentation::NONE }, 3, 0, 100);
    let (_, flips) = augmented(Augmentation { crop: 0, flip: true, ..Augmentation::NONE }, 3, 0, 100);
    let (_, both) = augmented(CROP, 3, 0, 100);
    let plain = values(&train.images(&all(&train)).unwrap());
    let reflected = |image: &[f64]| moved(image, [1, 8, 8], (0, 0), true);
    let mut count = 0;
    for (i, plain) in plain.chunks(64).enumerate() {
        let flipped = flips[i] != plain;
        count += usize::from(flipped);
        assert_eq!(flips[i], if flipped { reflected(plain) } else { plain.to_vec() });
        if reflected(plain) != plain {
            assert_eq!(both[i], if flipped { reflected(&crops[i]) } else { crops[i].clone() }, "image {i}");
        }
    }
    // 1411 fair coins: a deviation of more than 5 sigma is a fault.
    assert!((612..=799).contains(&count), "{count} of 1411 are reflected");
}

#[test]
fn augmentation_depends_on_seed_pass_and_index_only() {
    let (train, whole) = augmented(CROP, 3, 1, 1411);
    assert_eq!(whole, augmented(CROP, 3, 1, 7).1, "the batch size does not matter");
    assert_ne!(whole, augmented(CROP, 3, 2, 1411).1, "passes differ");
    assert_ne!(whole, augmented(CROP, 4, 1, 1411).1, "seeds differ");
    let shuffled = train.batches(64, BatchOrder::Shuffled { seed: 9, pass: 5 }).unwrap().augmented(1);
    for batch in shuffled {
        let batch = batch.unwrap();
        for (image, index) in values(&batch.x).chunks(64).zip(&batch.index) {
            assert_eq!(image, whole[*index as usize], "nor does the order");
        }
    }
    let small = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(whole, small.install(|| augmented(CROP, 3, 1, 1411)).1, "nor the number of threads");
    // Written down once: the same on every machine and in every later version.
    let image_3 = values(&train.images(&[3]).unwrap());
    let window = (-2..=2).flat_map(|d| (-2..=2).flat_map(move |r| [(d, r, false), (d, r, true)]));
    let of_image_3: Vec<_> = window.filter(|&(d, r, f)| whole[3] == moved(&image_3, [1, 8, 8], (d, r), f)).collect();
    assert_eq!(of_image_3, WINDOW_OF_IMAGE_3);
}

const WINDOW_OF_IMAGE_3: [(isize, isize, bool); 1] = [(1, 2, true)];

#[test]
fn only_augmented_passes_of_the_training_split_are_augmented() {
    let data = digits(&Options { augmentation: CROP, ..Options::default() });
    assert_eq!((data.train.augmentation(), data.test.augmentation()), (CROP, Augmentation::default()));
    for split in [&data.train, &data.test] {
        let plain = values(&digits_split(split).images(&all(split)).unwrap());
        assert_eq!(values(&split.images(&all(split)).unwrap()), plain);
        let batch = split.batches(2000, BatchOrder::Sequential).unwrap().next().unwrap().unwrap();
        assert_eq!(values(&batch.x), plain);
    }
    let test = data.test.batches(2000, BatchOrder::Sequential).unwrap().augmented(0).next().unwrap().unwrap();
    assert_eq!(values(&test.x), values(&data.test.images(&all(&data.test)).unwrap()));
    assert_eq!((CROP.describe().as_str(), Augmentation::default().describe().as_str()), ("crop 2, flip", ""));
}

fn digits_split(like: &Split) -> Split {
    let data = digits(&Options::default());
    if like.name() == "train" { data.train } else { data.test }
}

#[test]
fn crops_up_to_the_size_of_the_image() {
    let whole = Augmentation { crop: 8, flip: false, ..Augmentation::NONE };
    let (train, images) = augmented(whole, 0, 0, 100);
    let plain = values(&train.images(&all(&train)).unwrap());
    for (image, plain) in images.iter().zip(plain.chunks(64)) {
        let mut allowed = (-8..=8).flat_map(|d| (-8..=8).map(move |r| (d, r)));
        assert!(allowed.any(|place| *image == moved(plain, [1, 8, 8], place, false)));
    }
    assert!(images.iter().any(|i| i.iter().all(|v| *v == 0.0)), "some windows hold nothing but border");
    assert_says(
        train.with_augmentation(Augmentation { crop: 9, flip: false, ..Augmentation::NONE }),
        &["crop is 9", "8x8", "0..=8"],
    );
}

#[test]
fn every_dtype_and_arrays_are_augmented_alike() {
    let narrow: Vec<f64> = (0..2 * 3 * 2 * 5).map(|v| f64::from(v) / 8.0 - 3.0).collect();
    let images = Tensor::from_vec(narrow.clone(), (2, 3, 2, 5), &Device::Cpu).unwrap();
    let split = Split::from_arrays("toy", &images, &[0, 1], 2).unwrap();
    let split = split.with_augmentation(Augmentation { crop: 1, flip: true, ..Augmentation::NONE }).unwrap();
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        for pass in 0..20 {
            let batches = split.to_dtype(dtype).unwrap().batches(2, BatchOrder::Sequential).unwrap().augmented(pass);
            let batch = batches.map(Result::unwrap).next().unwrap();
            assert_eq!(batch.x.dtype(), dtype);
            for (image, plain) in values(&batch.x).chunks(30).zip(narrow.chunks(30)) {
                let mut allowed = (-1..=1).flat_map(|d| (-1..=1).flat_map(move |r| [(d, r, false), (d, r, true)]));
                assert!(allowed.any(|(d, r, f)| image == moved(plain, [3, 2, 5], (d, r), f)), "{dtype:?}");
            }
        }
    }
}

// ---- made ahead ----

fn bits(batch: &Batch) -> (Vec<u64>, Vec<u32>, Vec<u32>, usize, usize) {
    let x = values(&batch.x).into_iter().map(f64::to_bits).collect();
    (x, batch.y.to_vec1().unwrap(), batch.index.clone(), batch.number, batch.count)
}

#[test]
fn batches_made_ahead_are_the_same() {
    let train = digits(&Options { augmentation: CROP, ..Options::default() }).train;
    let pass = || train.batches(100, BatchOrder::Shuffled { seed: 1, pass: 2 }).unwrap().augmented(2);
    let inline: Vec<_> = pass().ahead(0).map(|b| bits(&b.unwrap())).collect();
    assert_eq!(inline.len(), 15);
    for ahead in [1, 2, 40] {
        assert_eq!(pass().ahead(ahead).map(|b| bits(&b.unwrap())).collect::<Vec<_>>(), inline, "{ahead} ahead");
    }
    // A clone goes on from where the other one is.
    let mut first = pass();
    (0..4).for_each(|_| drop(first.next()));
    assert_eq!(first.clone().map(|b| bits(&b.unwrap())).collect::<Vec<_>>(), inline[4..]);
    assert_eq!(first.map(|b| bits(&b.unwrap())).collect::<Vec<_>>(), inline[4..]);
}

#[test]
fn a_pass_can_be_left_early() {
    let train = digits(&Options::default()).train;
    for taken in 0..4 {
        let mut batches = train.batches(1, BatchOrder::Sequential).unwrap();
        assert_eq!(batches.by_ref().take(taken).count(), taken);
        assert_eq!(batches.len(), 1411 - taken);
    }
}

// ---- in scripts ----

#[test]
fn scripts_choose_the_augmentation_per_pass() {
    let mut lab = Lab::new();
    let _ = lab.run("let data = dataset(\"digits\", #{ crop: 2, flip: true });");
    let mut pass = |split: &str, options: &str| {
        let batch =
            lab.run(&format!("for batch in data.{split}.batches(2000, #{{ {options} }}) {{ return batch.x; }}"));
        values(&tensor_of(&batch))
    };
    let (train, images) = augmented(CROP, 0, 4, 2000);
    let plain = values(&train.images(&all(&train)).unwrap());
    assert_eq!(pass("train", "shuffle: false, pass: 4"), images.concat(), "as the library makes it");
    assert_eq!(pass("train", "shuffle: false, augment: false"), plain);
    assert_ne!(pass("train", "shuffle: false"), pass("train", "shuffle: false"), "passes without a number differ");
    assert_eq!(pass("train", "pass: 1"), pass("train", "pass: 1"));
    assert_ne!(pass("train", "pass: 1"), pass("train", "pass: 1, augment: false"));
    assert_eq!(pass("test", "augment: true"), pass("test", "augment: false"));
    let shown = lab.run("`${data}; ${data.train}; ${data.test}`").into_string().unwrap();
    assert!(shown.contains("1411 train (crop 2, flip), 386 test, from"), "{shown}");
    assert!(shown.ends_with("1411 images (train) (crop 2, flip); 386 images (test)"), "{shown}");
}
