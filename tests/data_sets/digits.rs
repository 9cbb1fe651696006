//! Data sets in memory: the digits as they are, splits and their parts, limits, names, arrays.

use crate::common::data::{all, assert_says, digits, labels};
use crate::common::values;
use candle_core::{DType, Device, Tensor};
use workbench::data::{self, Dataset, Options, Split};

#[test]
fn digits_are_what_their_manifest_says() {
    let data = digits(&Options::default());
    assert_eq!((data.name.as_str(), data.shape.as_slice(), data.classes), ("digits", &[1, 8, 8][..], 10));
    assert_eq!((data.train.len(), data.test.len()), (1411, 386));
    assert_eq!((data.train.name(), data.test.name()), ("train", "test"));
    assert!(data.licence.contains("CC BY 4.0") && data.source.contains("built into"));
    assert!(data.warnings.is_empty());
    assert_eq!(data.train.class_counts(), [139, 143, 138, 143, 143, 143, 143, 141, 136, 142]);
    assert_eq!(data.test.class_counts(), [39, 39, 39, 40, 38, 39, 38, 38, 38, 38]);
    assert_eq!(labels(&data.train)[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    assert_eq!(labels(&data.test)[30..42], [0, 9, 5, 5, 6, 5, 0, 9, 8, 9, 8, 4], "the test rows start at row 0");

    let images = data.train.images(&all(&data.train)).unwrap();
    assert_eq!((images.dims(), images.dtype()), (&[1411, 1, 8, 8][..], DType::F32));
    let values = values(&images);
    assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
    assert!(values.contains(&0.0) && values.contains(&1.0));
    // Row 386 of the file begins 0,0,9,15,5,0,0,0,0,3,15,15.
    let start = [0.0, 0.0, 9.0, 15.0, 5.0, 0.0, 0.0, 0.0, 0.0, 3.0, 15.0, 15.0].map(|v| v / 16.0);
    assert_eq!(values[..12], start);
}

#[test]
fn splits_share_indices_from_zero() {
    let data = digits(&Options::default());
    let part = data.train.range(100, 110).unwrap();
    assert_eq!(part.len(), 10);
    assert_eq!(labels(&part), labels(&data.train)[100..110]);
    let direct = data.train.images(&[100, 109]).unwrap();
    assert_eq!(values(&part.images(&[0, 9]).unwrap()), values(&direct));
    let inner = part.range(4, 6).unwrap();
    assert_eq!(labels(&inner), labels(&data.train)[104..106]);
    assert_eq!(part.class_counts().iter().sum::<usize>(), 10);
    assert_eq!((part.take(3).len(), part.take(99).len(), part.take(0).is_empty()), (3, 10, true));

    assert_says(part.images(&[3, 10]), &["index 10", "train", "10 images", "0..=9"]);
    assert_says(part.labels(&[10]), &["index 10"]);
    assert_says(part.range(5, 5), &["5..5", "10 images"]);
    assert_says(part.range(5, 11), &["5..11", "10 images"]);
}

#[test]
fn limits_take_the_first_images() {
    let options = Options { train_limit: Some(40), test_limit: Some(386), ..Options::default() };
    let limited = digits(&options);
    assert_eq!((limited.train.len(), limited.test.len()), (40, 386));
    assert_eq!(labels(&limited.train), labels(&digits(&Options::default()).train)[..40]);
    assert!(limited.warnings.is_empty(), "{:?}", limited.warnings);

    let few = digits(&Options { train_limit: Some(7), ..Options::default() });
    assert_eq!(few.warnings.len(), 1);
    assert!(few.warnings[0].contains("first 7 train images hold none of class 7, 8, 9"), "{:?}", few.warnings);

    let load =
        |train, test| Dataset::load("digits", &Options { train_limit: train, test_limit: test, ..Options::default() });
    assert_says(load(Some(0), None), &["train_limit is 0", "1411"]);
    assert_says(load(Some(1412), None), &["train_limit is 1412", "digits", "1411"]);
    assert_says(load(None, Some(387)), &["test_limit is 387", "386"]);
}

#[test]
fn only_dtypes_that_hold_fractions() {
    for dtype in [DType::F64, DType::F16, DType::BF16] {
        let data = digits(&Options { dtype, ..Options::default() });
        assert_eq!(data.test.images(&[0]).unwrap().dtype(), dtype);
    }
    assert_says(Dataset::load("digits", &Options { dtype: DType::U8, ..Options::default() }), &["u8", "f32"]);
    assert_says(digits(&Options::default()).train.to_dtype(DType::I64), &["i64"]);
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let load = |name| Dataset::load(name, &Options::default());
    assert_says(load("digit"), &["`digit`", "did you mean `digits`?", "`mnist`", "path"]);
    assert_says(load("MNIST"), &["did you mean `mnist`?"]);
    let Err(far) = load("imagenet-22k") else { panic!("no such data set") };
    assert!(!far.to_string().contains("did you mean"), "{far}");
    assert_eq!(data::names(), ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet"]);
    assert_says(load("cifar-10"), &["did you mean `cifar10`?"]);
    assert_says(load("tiny-imagenet"), &["did you mean `tiny_imagenet`?"]);
}

#[test]
fn arrays_may_hold_any_values() {
    let images = Tensor::from_vec(vec![-3.5_f64, 2.0, 1e9, 0.25, 7.0, 8.0], (3, 2, 1, 1), &Device::Cpu).unwrap();
    let split = Split::from_arrays("toy", &images, &[1, 0, 1], 3).unwrap();
    assert_eq!((split.len(), split.shape(), split.dtype()), (3, [2, 1, 1], DType::F64));
    assert_eq!((split.name(), split.class_counts()), ("toy", vec![1, 2, 0]));
    assert_eq!(values(&split.images(&[2, 0]).unwrap()), [7.0, 8.0, -3.5, 2.0]);
    let part = split.range(1, 3).unwrap();
    assert_eq!(values(&part.images(&[0]).unwrap()), [1e9, 0.25]);
    assert_eq!(labels(&part), [0, 1]);
    assert_eq!(split.to_dtype(DType::F32).unwrap().images(&[0]).unwrap().dtype(), DType::F32);

    assert_says(Split::from_arrays("toy", &images, &[1, 0], 3), &["toy", "3 images", "2 labels"]);
    assert_says(Split::from_arrays("toy", &images, &[1, 3, 0], 3), &["toy", "label 1", "is 3", "0..=2"]);
    assert_says(Split::from_arrays("toy", &images.flatten_all().unwrap(), &[0], 3), &["[6]", "[n, C, H, W]"]);
    let bytes = images.to_dtype(DType::U8).unwrap();
    assert_says(Split::from_arrays("toy", &bytes, &[1, 0, 1], 3), &["u8"]);
    let empty = Tensor::zeros((0, 1, 1, 1), DType::F32, &Device::Cpu).unwrap();
    assert_says(Split::from_arrays("toy", &empty, &[], 3), &["[0, 1, 1, 1]"]);
}

#[test]
fn manifests_name_mean_and_deviation_for_each_channel() {
    for name in data::names() {
        let manifest = data::Manifest::find(name).unwrap();
        assert_eq!(manifest.normalisation.is_some(), name != "digits", "{name}");
        let Some(n) = manifest.normalisation else { continue };
        assert_eq!((n.mean.len(), n.std.len()), (manifest.shape[0].get(), manifest.shape[0].get()), "{name}");
    }
    let mut lab = crate::common::Lab::new();
    let asked = lab.engine.eval_with_scope::<rhai::Array>(&mut lab.scope, "dataset(\"digits\").mean");
    assert_says(asked, &["digits", "names no normalisation", "compute them"]);
}

/// What the manifest says of MNIST, against its images.
#[test]
fn mnist_has_the_mean_and_deviation_of_its_manifest() {
    if crate::common::data::real("mnist").is_none() {
        return;
    }
    let data = Dataset::load("mnist", &Options { dtype: DType::F64, ..Options::default() }).unwrap();
    let images = values(&data.train.images(&all(&data.train)).unwrap());
    let mean = images.iter().sum::<f64>() / images.len() as f64;
    let std = (images.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / images.len() as f64).sqrt();
    let stated = data.normalisation.unwrap();
    assert!((stated.mean[0] - mean).abs() < 6e-5 && (stated.std[0] - std).abs() < 6e-5, "{mean} {std}");
}
