//! Splits and data sets from arrays in memory.

use super::arrange::wanted;
use super::error::{Error, Result};
use super::formats::check_labels;
use super::manifest::check::CLASSES;
use super::split::check_dtype;
use super::split::classes::{list, missing_classes};
use super::{Dataset, Options, Split};
use candle_core::{DType, Tensor};

/// Images [n, C, H, W], or vectors [n, F], of a floating-point dtype and their labels.
pub type Arrays<'a> = (&'a Tensor, &'a [u32]);

impl Split {
    /// A split called `name` from values in memory: `images` [n, C, H, W], or vectors [n, F], of a floating-point
    /// dtype, with any values, and n labels in `0..classes`. Batches have the dtype of `images` and are on its device;
    /// nothing is differentiated through. The seed is 0.
    pub fn from_arrays(name: &str, images: &Tensor, labels: &[u32], classes: usize) -> Result<Self> {
        let fail = |message| Error::Arrays { split: name.into(), message };
        let (n, values) = match *images.dims() {
            [n, c, h, w] => (n, c * h * w),
            [n, features] => (n, features),
            _ => {
                let shape = images.dims();
                return Err(fail(format!(
                    "samples have the shape {shape:?}; expected images [n, C, H, W] or vectors [n, F]"
                )));
            }
        };
        check_dtype(images.dtype())?;
        if n != labels.len() {
            return Err(fail(format!("{n} images but {} labels", labels.len())));
        }
        if n == 0 || values == 0 || u32::try_from(n).is_err() {
            return Err(fail(format!(
                "samples have the shape {:?}; expected 1 to 2^32 - 1 of them, none empty",
                images.dims()
            )));
        }
        if classes == 0 {
            return Err(fail("0 classes; expected at least 1".into()));
        }
        check_labels(&format!("split `{name}`"), labels, classes)?;
        Ok(Self::from_values(name, images.detach().contiguous()?, labels.to_vec(), classes)?)
    }
}

impl Dataset {
    /// A data set called `name` of the given images to train and to test on, with any values. Without a number of classes
    /// there are as many as the largest label says. Batches are of the dtype and on the device of `options`; limits and all
    /// that comes after reading hold as for data sets from files.
    pub fn from_arrays(
        name: &str,
        train: Arrays,
        test: Arrays,
        classes: Option<usize>,
        options: &Options,
    ) -> Result<Self> {
        options.check_no_test(name)?;
        let largest = train.1.iter().chain(test.1).max();
        let classes = classes.unwrap_or(largest.map_or(1, |largest| *largest as usize + 1));
        if classes > CLASSES {
            let message = format!("{classes} classes; expected at most {CLASSES}");
            return Err(Error::Arrays { split: "train".into(), message });
        }
        let split = |name, (images, labels): Arrays| {
            let split = Split::from_arrays(name, images, labels, classes)?.to_dtype(options.dtype)?;
            Ok::<_, Error>(split.to_device(&options.device).with_seed(options.seed))
        };
        let (train, test) = (split("train", train)?, split("test", test)?);
        if train.sample_shape() != test.sample_shape() {
            let (test_shape, train_shape) = (test.sample_shape(), train.sample_shape());
            let message = match train.is_flat() || test.is_flat() {
                true => {
                    format!("its samples are {test_shape:?}, the training samples {train_shape:?}; both must be alike")
                }
                false => format!(
                    "its images are {test_shape:?}, the training images {train_shape:?} (channels, height, width); both must be \
                     alike"
                ),
            };
            return Err(Error::Arrays { split: "test".into(), message });
        }
        if !train.is_flat() {
            options.check(name, train.shape())?;
        }
        let limited = |split: Split, limit: Option<usize>, which| {
            Ok::<_, Error>(split.take(wanted(name, which, limit, split.len())?))
        };
        let (train, test) = (limited(train, options.train_limit, "train")?, limited(test, options.test_limit, "test")?);
        let missing = |split: &Split| {
            let missing = missing_classes(split, classes);
            let text = || format!("the {} images hold none of class {}", split.name(), list(&missing));
            (!missing.is_empty()).then(text)
        };
        let data = Self {
            name: name.into(),
            title: name.into(),
            shape: train.sample_shape(),
            classes,
            class_names: vec![],
            licence: "not stated".into(),
            citation: "not stated".into(),
            normalisation: None,
            source: "arrays in memory".into(),
            warnings: [&train, &test].into_iter().filter_map(missing).collect(),
            validation: None,
            lacks_train: None,
            train,
            test,
        };
        data.arranged(options)
    }
}

/// Labels, `[n]` of integers, for the split called `split`.
pub fn labels(split: &str, labels: &Tensor) -> Result<Vec<u32>> {
    let fail = |message| Error::Arrays { split: split.into(), message };
    if labels.rank() != 1 || !labels.dtype().is_int() {
        let (shape, dtype) = (labels.dims(), labels.dtype().as_str());
        let message = format!(
            "labels are {dtype} of the shape {shape:?}; expected integers, [n]: an array, or a tensor of dtype u32"
        );
        return Err(fail(message));
    }
    let label = |(index, value): (usize, i64)| {
        let wrong = || fail(format!("label {index} (counted from 0) is {value}; expected 0, 1, 2, ..."));
        // One less than the largest: the number of classes is one more.
        u32::try_from(value).ok().filter(|value| *value < u32::MAX).ok_or_else(wrong)
    };
    labels.to_dtype(DType::I64)?.to_vec1::<i64>()?.into_iter().enumerate().map(label).collect()
}
