//! Rotation, crop, flip and cutout against a plain reference, pixel by pixel; zeros around images; what may be asked for.

use crate::common::data::{all, assert_says, digits};
use crate::common::{Lab, tensor_of, values};
use candle_core::{DType, Device, Tensor};
use workbench::base::random::Generator;
use workbench::data::{Augmentation, BatchOrder, Dataset, Options, RandAugment, Split};

/// Row, column, side, angle, and the centre of the hole: the numbers of one image.
fn numbers(seed: u64, pass: u64, index: u32) -> [f64; 6] {
    let own = Generator::stream(seed, pass).fork("augmentation").fork(&format!("image {index}"));
    std::array::from_fn(|_| own.unit())
}

/// What an image [C, H, W] becomes, written as four sums over all its pixels, one after the other.
fn reference(image: &[f64], shape: [usize; 3], what: Augmentation, numbers: [f64; 6]) -> Vec<f64> {
    let [c, h, w] = shape.map(|n| n as isize);
    let [row, column, side, angle, y, x] = numbers;
    let each = |value: &dyn Fn(isize, isize, isize) -> f64| -> Vec<f64> {
        let places = (0..c).flat_map(|k| (0..h).flat_map(move |i| (0..w).map(move |j| (k, i, j))));
        places.map(|(k, i, j)| value(k, i, j)).collect()
    };
    let get = |image: &[f64], k: isize, i: isize, j: isize| {
        if (0..h).contains(&i) && (0..w).contains(&j) { image[((k * h + i) * w + j) as usize] } else { 0.0 }
    };
    // Rotation: hat functions over all pixels make the bilinear interpolation.
    let a = (what.rotation * (2.0 * angle - 1.0)).to_radians();
    let (middle_i, middle_j) = ((h as f64 - 1.0) / 2.0, (w as f64 - 1.0) / 2.0);
    let turned = each(&|k, i, j| {
        let (up, right) = (middle_i - i as f64, j as f64 - middle_j);
        // Back by the angle, clockwise.
        let (up, right) = (up * a.cos() - right * a.sin(), right * a.cos() + up * a.sin());
        let hat = |d: f64| (1.0 - d.abs()).max(0.0);
        let of_row = |p: isize| {
            let of_pixel = |q: isize| hat(middle_j + right - q as f64) * get(image, k, p, q);
            hat(middle_i - up - p as f64) * (0..w).map(of_pixel).sum::<f64>()
        };
        (0..h).map(of_row).sum()
    });
    let crop = what.crop as isize;
    let shift = |u: f64| (u * (2 * crop + 1) as f64).floor() as isize - crop;
    let cropped = each(&|k, i, j| get(&turned, k, i + shift(row), j + shift(column)));
    let mirrored = each(&|k, i, j| get(&cropped, k, i, if what.flip && side < 0.5 { w - 1 - j } else { j }));
    let n = what.cutout as isize;
    let inside = |at: isize, u: f64, length: isize| {
        let first = (u * length as f64).floor() as isize - n / 2;
        (first..first + n).contains(&at)
    };
    each(&|k, i, j| if inside(i, y, h) && inside(j, x, w) { 0.0 } else { get(&mirrored, k, i, j) })
}

/// One pass in order, one image each.
fn pass(split: &Split, pass: u64, size: usize) -> Vec<Vec<f64>> {
    let pixels = split.shape().iter().product();
    let batches = split.batches(size, BatchOrder::Sequential).unwrap().augmented(pass);
    batches.flat_map(|b| values(&b.unwrap().x).chunks(pixels).map(<[f64]>::to_vec).collect::<Vec<_>>()).collect()
}

/// Images of 3 channels, neither square nor within [0, 1].
fn toy(n: usize) -> Split {
    let random = Generator::new(5);
    let images = random.uniform(-2.0, 3.0, (n, 3, 6, 9), DType::F64, &Device::Cpu).unwrap();
    Split::from_arrays("toy", &images, &vec![0; n], 1).unwrap()
}

const ALL: Augmentation = Augmentation { crop: 2, flip: true, cutout: 3, rotation: 40.0, random: RandAugment::NONE };

#[test]
fn every_augmentation_is_what_the_reference_makes() {
    let none = Augmentation::NONE;
    let cases = [
        Augmentation { rotation: 30.0, ..none },
        Augmentation { rotation: 180.0, ..none },
        Augmentation { cutout: 1, ..none },
        Augmentation { cutout: 4, ..none },
        Augmentation { cutout: 6, crop: 6, ..none },
        Augmentation { cutout: 5, flip: true, ..none },
        Augmentation { rotation: 0.5, flip: true, ..none },
        ALL,
    ];
    let (train, toy) = (digits(&Options { seed: 3, ..Options::default() }).train, toy(60));
    for what in cases {
        for (split, seed, tolerance) in [(&train.take(60), 3, 1e-6), (&toy, 0, 1e-12)] {
            let plain = values(&split.images(&all(split)).unwrap());
            let split = split.with_augmentation(what).unwrap();
            let shape = split.shape();
            let mut changed = 0;
            for (index, (image, plain)) in
                pass(&split, 4, 11).iter().zip(plain.chunks(shape.iter().product())).enumerate()
            {
                let wanted = reference(plain, shape, what, numbers(seed, 4, index as u32));
                let gap = image.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(gap <= tolerance, "{what:?}, image {index} of {}: off by {gap}", split.name());
                changed += usize::from(image != plain);
            }
            assert!(changed > 20, "{what:?} changes only {changed} of 60 images");
        }
    }
}

#[test]
fn it_depends_on_seed_pass_and_index_only() {
    let train = digits(&Options { seed: 3, augmentation: ALL, ..Options::default() }).train;
    let whole = pass(&train, 1, 1411);
    assert_eq!(whole, pass(&train, 1, 7), "not on the batch size");
    assert_ne!(whole, pass(&train, 2, 7), "passes differ");
    let other = digits(&Options { seed: 4, augmentation: ALL, ..Options::default() }).train;
    assert_ne!(whole, pass(&other, 1, 7), "seeds differ");
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(whole, pool.install(|| pass(&train, 1, 100)), "nor on {threads} threads");
    }
    for batch in train.batches(64, BatchOrder::Shuffled { seed: 9, pass: 5 }).unwrap().augmented(1) {
        let batch = batch.unwrap();
        for (image, index) in values(&batch.x).chunks(64).zip(&batch.index) {
            assert_eq!(image, whole[*index as usize], "nor on the order");
        }
    }
    // A chosen part counts its own images from 0, like any other.
    let part = train.per_class(30).unwrap();
    let plain = values(&part.images(&all(&part)).unwrap());
    for (index, image) in pass(&part, 1, 50).iter().enumerate() {
        let wanted = reference(&plain[64 * index..][..64], [1, 8, 8], ALL, numbers(3, 1, index as u32));
        assert!(image.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6), "image {index}");
    }
}

/// Random operations come between the others, which stay as they are drawn; they follow seed, pass and index, and hold images to [0, 1].
#[test]
fn random_operations_depend_on_seed_pass_and_index_only() {
    let of = |operations: usize, strength: f64| Augmentation { random: RandAugment { operations, strength }, ..ALL };
    let train = digits(&Options { seed: 3, train_limit: Some(300), ..Options::default() }.clone()).train;
    let with = |what: Augmentation| train.with_augmentation(what).unwrap();
    let (plain, whole) = (pass(&with(ALL), 1, 300), pass(&with(of(2, 20.0)), 1, 300));
    assert_eq!(whole, pass(&with(of(2, 20.0)), 1, 7), "not on the batch size");
    assert_ne!(whole, pass(&with(of(2, 20.0)), 2, 7), "passes differ");
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(whole, pool.install(|| pass(&with(of(2, 20.0)), 1, 50)), "nor on {threads} threads");
    }
    let changed = whole.iter().zip(&plain).filter(|(a, b)| a != b).count();
    assert!((200..300).contains(&changed), "{changed} of 300 images: two identities are one in 196");
    assert!(whole.iter().flatten().all(|v| (0.0..=1.0).contains(v)));
    // The hole is where it was.
    let holes = whole.iter().zip(&plain).enumerate().all(|(index, (image, _))| {
        let [.., y, x] = numbers(3, 1, index as u32);
        image[8 * (y * 8.0) as usize + (x * 8.0) as usize] == 0.0
    });
    assert!(holes, "the square of zeros is behind the operations");
    // A strength alone is nothing.
    assert!(Augmentation { random: RandAugment { operations: 0, strength: 9.0 }, ..Augmentation::NONE }.is_none());
    assert_eq!(of(2, 9.0).describe(), "rotation 40, crop 2, flip, rand_augment 2 x 9, cutout 3");
}

#[test]
fn half_precision_is_rounded_once() {
    let toy = toy(8).with_augmentation(ALL).unwrap();
    let exact = pass(&toy, 0, 8).concat();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let rounded = Tensor::new(exact.clone(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        assert_eq!(pass(&toy.to_dtype(dtype).unwrap(), 0, 8).concat(), values(&rounded), "{dtype:?}");
    }
}

#[test]
fn descriptions_name_what_is_done() {
    assert_eq!(ALL.describe(), "rotation 40, crop 2, flip, cutout 3");
    assert_eq!(Augmentation { rotation: 7.5, ..Augmentation::NONE }.describe(), "rotation 7.5");
    assert_eq!((Augmentation::NONE.describe().as_str(), Augmentation::default()), ("", Augmentation::NONE));
    let padded = toy(1).with_pad(1).unwrap();
    assert_eq!(padded.describe_changes(), "pad 1");
    assert_eq!(padded.with_augmentation(ALL).unwrap().describe_changes(), "pad 1, rotation 40, crop 2, flip, cutout 3");
}

// ---- zeros around images ----

#[test]
fn pad_puts_zeros_around_the_images_of_every_split() {
    let (plain, options) = (digits(&Options::default()), Options { pad: 2, ..Options::default() });
    let options = Options { validation: Some(workbench::data::Share::Count(20)), ..options };
    let padded = digits(&options);
    assert_eq!(padded.shape, [1, 12, 12]);
    for (split, like) in [(&padded.test, &plain.test), (&plain.train.with_pad(2).unwrap(), &plain.train)] {
        assert_eq!(split.shape(), [1, 12, 12]);
        let (wide, narrow) = (values(&split.images(&all(split)).unwrap()), values(&like.images(&all(like)).unwrap()));
        for (wide, narrow) in wide.chunks(144).zip(narrow.chunks(64)) {
            for (at, value) in wide.iter().enumerate() {
                let (i, j) = ((at / 12).wrapping_sub(2), (at % 12).wrapping_sub(2));
                assert_eq!(*value, if i < 8 && j < 8 { narrow[8 * i + j] } else { 0.0 }, "row {i}, column {j}");
            }
        }
    }
    assert_eq!(padded.validation().unwrap().images(&[0]).unwrap().dims(), [1, 1, 12, 12]);
    assert_eq!(padded.train.images(&[7]).unwrap().dims(), [1, 1, 12, 12]);
    // Arrays of any values and dtypes, of several channels.
    let toy = toy(2).to_dtype(DType::F32).unwrap().with_pad(1).unwrap();
    let images = toy.images(&[1, 0]).unwrap();
    assert_eq!((images.dims(), images.dtype()), (&[2, 3, 8, 11][..], DType::F32));
    let inner = images.narrow(2, 1, 6).unwrap().narrow(3, 1, 9).unwrap();
    assert_eq!(values(&inner), values(&toy.with_pad(0).unwrap().images(&[1, 0]).unwrap()));
    assert_eq!(values(&images.abs().unwrap().sum_all().unwrap()), values(&inner.abs().unwrap().sum_all().unwrap()));
}

#[test]
fn augmentation_sees_the_zeros() {
    let what = Augmentation { crop: 11, flip: true, cutout: 12, rotation: 20.0, ..Augmentation::NONE };
    let data = digits(&Options { pad: 2, augmentation: what, train_limit: Some(40), ..Options::default() });
    let plain = values(&data.train.images(&all(&data.train)).unwrap());
    for (index, image) in pass(&data.train, 2, 9).iter().enumerate() {
        let wanted = reference(&plain[144 * index..][..144], [1, 12, 12], what, numbers(0, 2, index as u32));
        assert!(image.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6), "image {index}");
    }
    assert_says(data.train.with_pad(0), &["crop is 11; split `train` has images of 8x8"]);
}

// ---- what may be asked for ----

#[test]
fn options_out_of_range_are_refused_with_the_way_out() {
    let refused = |augmentation, pad| {
        Dataset::load("digits", &Options { augmentation, pad, ..Options::default() }).unwrap_err().to_string()
    };
    let none = Augmentation::NONE;
    insta::assert_snapshot!(refused(Augmentation { cutout: 9, ..none }, 0), @"cutout is 9; data set `digits` has images of 8x8: give 0..=8, or leave it out for none");
    insta::assert_snapshot!(refused(Augmentation { crop: 13, ..none }, 2), @"crop is 13; data set `digits` has images of 12x12: give 0..=12, or leave it out for none");
    insta::assert_snapshot!(refused(Augmentation { rotation: 181.0, ..none }, 0), @"rotation is 181 degrees: give 0 to 180, or leave it out for none");
    let strong = Augmentation { random: RandAugment { operations: 2, strength: 31.0 }, ..none };
    insta::assert_snapshot!(refused(strong, 0), @"rand_strength is 31: give 0 to 30");
    insta::assert_snapshot!(refused(Augmentation { rotation: -1.0, ..none }, 0), @"rotation is -1 degrees: give 0 to 180, or leave it out for none");
    insta::assert_snapshot!(refused(Augmentation { rotation: f64::NAN, ..none }, 0), @"rotation is NaN degrees: give 0 to 180, or leave it out for none");
    insta::assert_snapshot!(refused(none, 1025), @"pad is 1025; data set `digits` has images of 8x8: give 0..=1024, or leave it out for none");
}

#[test]
fn scripts_ask_for_all_of_it() {
    let mut lab = Lab::new();
    let _ = lab.run("let data = dataset(\"digits\", #{ crop: 2, flip: true, cutout: 3, rotation: 40, pad: 1 });");
    let batch = lab.run("for b in data.train.batches(50, #{ shuffle: false, pass: 4 }) { return b.x; }");
    let options = Options { augmentation: ALL, pad: 1, ..Options::default() };
    assert_eq!(values(&tensor_of(&batch)), pass(&digits(&options).train, 4, 50)[..50].concat());
    let shown = lab.run("`${data.shape}; ${data}; ${data.test}`").into_string().unwrap();
    assert!(shown.starts_with("[1, 10, 10]; "), "{shown}");
    assert!(
        shown.contains("1411 train (pad 1, rotation 40, crop 2, flip, cutout 3), 386 test (pad 1), from"),
        "{shown}"
    );
    assert!(shown.ends_with("386 images (test) (pad 1)"), "{shown}");
    let none = lab.run("`${dataset(\"digits\", #{ cutout: 0, rotation: 0, pad: 0, per_class: 0, validation: 0 })}`");
    assert!(none.into_string().unwrap().contains("1411 train, 386 test, from"));
    let plain = lab.run("for b in data.train.batches(50, #{ shuffle: false, augment: false }) { return b.x; }");
    assert_eq!(
        values(&tensor_of(&plain)),
        values(&digits(&options).train.images(&(0..50).collect::<Vec<_>>()).unwrap())
    );
}
