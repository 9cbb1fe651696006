//! Parts of data sets: the first few images of each class, and validation images.

use crate::common::data::{all, assert_says, digits, labels};
use crate::common::values;
use workbench::data::{self, Augmentation, BatchOrder, Dataset, Options, Share, Split};

fn says<T: std::fmt::Debug>(result: data::Result<T>) -> String {
    result.expect_err("an error").to_string()
}

// ---- the first few of each class ----

#[test]
fn per_class_takes_the_first_of_each_class_in_order() {
    let train = digits(&Options::default()).train;
    let part = train.per_class(3).unwrap();
    let mut seen = [0; 10];
    let wanted: Vec<u32> = (0..train.len() as u32)
        .filter(|&i| {
            let class = labels(&train)[i as usize] as usize;
            seen[class] += 1;
            seen[class] <= 3
        })
        .collect();
    assert_eq!((part.len(), part.class_counts()), (30, vec![3; 10]));
    assert_eq!(labels(&part), wanted.iter().map(|&i| labels(&train)[i as usize]).collect::<Vec<_>>());
    assert_eq!(values(&part.images(&all(&part)).unwrap()), values(&train.images(&wanted).unwrap()));
    // Parts of a part, and a part of a range.
    let inner = part.range(5, 20).unwrap().take(10);
    assert_eq!(values(&inner.images(&[0, 9]).unwrap()), values(&train.images(&[wanted[5], wanted[14]]).unwrap()));
    assert_eq!(labels(&inner), labels(&part)[5..15]);
    let of_range = train.range(100, 300).unwrap().per_class(2).unwrap();
    let found = values(&of_range.images(&[0]).unwrap());
    assert_eq!(found, values(&train.images(&[100]).unwrap()));
    assert_eq!(of_range.class_counts(), [2; 10]);
    let again = part.per_class(1).unwrap();
    assert_eq!(values(&again.images(&[0, 9]).unwrap()), values(&train.images(&[wanted[0], wanted[9]]).unwrap()));
    assert_says(part.images(&[30]), &["index 30", "30 images"]);
    let batch = part.batches(30, BatchOrder::Sequential).unwrap().next().unwrap().unwrap();
    assert_eq!((batch.y.to_vec1::<u32>().unwrap(), batch.index), (labels(&part), all(&part)));

    // The limit comes first.
    let options = Options { train_limit: Some(200), per_class: Some(2), ..Options::default() };
    assert_eq!(labels(&digits(&options).train), labels(&train.take(200).per_class(2).unwrap()));
    insta::assert_snapshot!(says(train.per_class(137)), @"per_class is 137; split `train` has 136 images of class 8: give 1..=136, or leave it out for all");
    insta::assert_snapshot!(says(train.per_class(0)), @"per_class is 0; split `train` has 136 images of class 8: give 1..=136, or leave it out for all");
    insta::assert_snapshot!(says(train.take(7).per_class(1)), @"per_class is 1; split `train` has 0 images of class 7: leave it out, or take a split that has images of every class");
}

// ---- validation ----

/// Where the images of `part` stand in `whole`, which has no image twice.
fn places(part: &Split, whole: &Split) -> Vec<usize> {
    let pixels: usize = whole.shape().iter().product();
    let of = |split: &Split| values(&split.images(&all(split)).unwrap());
    let (part, whole) = (of(part), of(whole));
    let place = |image: &[f64]| whole.chunks(pixels).position(|other| other == image).expect("an image of the whole");
    part.chunks(pixels).map(place).collect()
}

#[test]
fn validation_images_are_set_apart() {
    let whole = digits(&Options { seed: 7, ..Options::default() }).train;
    let load = |share, seed| {
        let augmentation = Augmentation { crop: 1, ..Augmentation::NONE };
        let data = digits(&Options { validation: Some(share), seed, augmentation, ..Options::default() });
        let validation = data.validation().unwrap().clone();
        (data, validation)
    };
    let (data, validation) = load(Share::Fraction(0.1), 7);
    assert_eq!((data.train.len(), validation.len(), data.test.len()), (1270, 141, 386));
    assert_eq!((data.train.name(), validation.name()), ("train", "validation"));
    assert!(!data.train.augmentation().is_none() && validation.augmentation().is_none());
    let (kept, apart) = (places(&data.train, &whole), places(&validation, &whole));
    assert!(kept.is_sorted() && apart.is_sorted(), "both in their former order");
    let mut both = [kept.clone(), apart.clone()].concat();
    both.sort_unstable();
    both.dedup();
    assert_eq!(both.len(), 1411, "disjoint, and together the whole");
    assert_eq!(labels(&validation), apart.iter().map(|&i| labels(&whole)[i]).collect::<Vec<_>>());
    // A tenth of each class, up to rounding.
    let counts = validation.class_counts();
    assert!(counts.iter().zip(whole.class_counts()).all(|(n, of)| (*n as f64 - of as f64 / 10.0).abs() < 1.0));
    // Written down once: the same on every machine and in every later version.
    assert_eq!(apart[..12], VALIDATION_OF_SEED_7);
    assert_eq!(apart, places(&load(Share::Count(141), 7).1, &whole), "a share is a number of images");
    assert_ne!(apart, places(&load(Share::Count(141), 8).1, &whole), "seeds differ");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(apart, pool.install(|| places(&load(Share::Count(141), 7).1, &whole)));
    // Passes over the rest count its own images; those over validation images leave them as they are.
    let batch = data.train.batches(4, BatchOrder::Sequential).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.index, [0, 1, 2, 3]);
    let plain = validation.batches(141, BatchOrder::Sequential).unwrap().augmented(0).next().unwrap().unwrap().x;
    assert_eq!(values(&plain), values(&validation.images(&all(&validation)).unwrap()));
}

const VALIDATION_OF_SEED_7: [usize; 12] = [13, 20, 29, 30, 35, 38, 42, 49, 70, 82, 95, 108];

#[test]
fn validation_comes_after_the_limit_and_the_classes() {
    let options = Options { train_limit: Some(600), per_class: Some(20), ..Options::default() };
    let (part, options) = (digits(&options).train, Options { validation: Some(Share::Count(50)), ..options });
    let data = digits(&options);
    assert_eq!((data.train.class_counts(), data.validation().unwrap().class_counts()), (vec![15; 10], vec![5; 10]));
    assert!(places(data.validation().unwrap(), &part).len() == 50 && data.warnings.is_empty(), "{:?}", data.warnings);
    let few = digits(&Options { validation: Some(Share::Count(4)), ..options });
    assert_eq!(
        few.warnings,
        ["the validation images hold none of class 4, 5, 6, 7, 8, 9; take more validation images to have them all"]
    );
    let many = digits(&Options { validation: Some(Share::Count(1406)), ..Options::default() });
    assert_eq!(many.warnings.len(), 1);
    assert!(many.warnings[0].starts_with("the train images hold none of class "), "{:?}", many.warnings);
    assert!(many.warnings[0].ends_with("take fewer validation images to have them all"), "{:?}", many.warnings);
}

#[test]
fn shares_that_leave_nothing_are_refused() {
    let refused =
        |validation| says(Dataset::load("digits", &Options { validation: Some(validation), ..Options::default() }));
    insta::assert_snapshot!(refused(Share::Fraction(1.0)), @"validation is 1.0; split `train` has 1411 images: give a whole number from 1 to 1410, or a share between 0 and 1 that comes to one of these");
    insta::assert_snapshot!(refused(Share::Count(1411)), @"validation is 1411; split `train` has 1411 images: give a whole number from 1 to 1410, or a share between 0 and 1 that comes to one of these");
    for share in [Share::Fraction(-0.1), Share::Fraction(0.0001), Share::Fraction(0.9999), Share::Fraction(f64::NAN)] {
        assert!(refused(share).starts_with(&format!("validation is {share}; split `train` has 1411 images: ")));
    }
    let one = Options { train_limit: Some(1), validation: Some(Share::Fraction(0.5)), ..Options::default() };
    insta::assert_snapshot!(says(Dataset::load("digits", &one)), @"validation is 0.5; split `train` has 1 image: too few to set any apart; leave `validation` out or take more images");
    insta::assert_snapshot!(says(digits(&Options::default()).validation()), @"data set `digits` was loaded without validation images; ask for some where it is made, such as a tenth of the training images: `validation: 0.1`");
    let test = Options { test: Some(Share::Fraction(0.2)), ..Options::default() };
    insta::assert_snapshot!(says(Dataset::load("digits", &test)), @"test is 0.2; data set `digits` has test images of its own: leave it out, or give test_limit for fewer of them");
}
