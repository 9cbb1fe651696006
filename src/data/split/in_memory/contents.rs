//! What a split holds, as it was stored: images, labels, and which of them are its own.

use crate::data::split::augment::Augmentation;
use crate::data::values::Values;
use candle_core::{DType, Device, Tensor};
use std::sync::{Arc, OnceLock};

/// Some images with their labels. Cheap to clone; clones and parts share the data.
///
/// Indices always count from 0 within the split at hand, also in one made by [`Split::take`], [`Split::range`] or
/// [`Split::per_class`].
#[derive(Debug, Clone)]
pub struct Split {
    pub(super) name: Arc<str>,
    pub(super) data: Arc<Data>,
    /// Where its images are in `data`, if they are not all of them in order.
    pub(super) places: Option<Arc<[u32]>>,
    /// The part of `places`, or of `data`.
    pub(super) start: usize,
    pub(super) len: usize,
    /// Zeros on each side of an image.
    pub(super) pad: usize,
    pub(super) dtype: DType,
    pub(super) device: Device,
    pub(super) seed: u64,
    pub(super) augmentation: Augmentation,
    pub(super) beside: Option<Arc<Beside>>,
}

/// Images of a second data set that stand beside those of a split in its shuffled batches, so many for each.
#[derive(Debug)]
pub(super) struct Beside {
    pub split: Split,
    pub ratio: f64,
}

#[derive(Debug)]
pub(super) struct Data {
    /// Channels, height, width; of vectors the features, 1, 1.
    pub(super) shape: [usize; 3],
    /// Are the samples vectors, [n, F], rather than images?
    is_flat: bool,
    classes: usize,
    pub(super) images: Images,
    labels: Vec<u32>,
    /// The bytes on the device that makes batches of them, once one was asked for; nothing where they do not fit.
    pub(super) resident: OnceLock<Option<Tensor>>,
}

#[derive(Debug)]
pub(super) enum Images {
    /// As stored in a file; byte `v` stands for `levels[v] = v / scale`.
    Bytes { values: Values, levels: Vec<f64> },
    /// Arbitrary values, [n, C, H, W]; whether they are known to lie in [0, 1].
    Values { images: Tensor, are_scaled: bool },
}

impl Split {
    /// Images from a file: `values` holds them one after the other in CHW order, none above `scale`. Labels and
    /// the dtype have been checked.
    pub(in crate::data) fn from_bytes(
        name: &str,
        shape: [usize; 3],
        classes: usize,
        (values, labels): (Values, Vec<u32>),
        scale: u8,
        (dtype, device, seed): (DType, Device, u64),
    ) -> Self {
        let levels = (0..=u8::MAX).map(|v| f64::from(v) / f64::from(scale)).collect();
        let images = Images::Bytes { values, levels };
        let data = Data { shape, is_flat: false, classes, images, labels, resident: OnceLock::new() };
        Self::whole(name, data, (dtype, device)).with_seed(seed)
    }

    /// All of `data`.
    fn whole(name: &str, data: Data, (dtype, device): (DType, Device)) -> Self {
        let (name, len, data) = (name.into(), data.labels.len(), Arc::new(data));
        let augmentation = Augmentation::NONE;
        Self { name, data, places: None, start: 0, len, pad: 0, dtype, device, seed: 0, augmentation, beside: None }
    }

    /// `images` [n, C, H, W], or vectors [n, F], as they are, with n labels. All of it has been checked.
    pub(in crate::data) fn from_values(
        name: &str,
        images: Tensor,
        labels: Vec<u32>,
        classes: usize,
    ) -> candle_core::Result<Self> {
        let is_flat = images.rank() == 2;
        let images = if is_flat { images.unsqueeze(2)?.unsqueeze(3)? } else { images };
        let (_, c, h, w) = images.dims4()?;
        let made = (images.dtype(), images.device().clone());
        let images = Images::Values { images, are_scaled: false };
        let data = Data { shape: [c, h, w], is_flat, classes, images, labels, resident: OnceLock::new() };
        Ok(Self::whole(name, data, made))
    }

    /// `images` [n, C, H, W] from a file, all of whose values lie in [0, 1], with n labels. All of it has been checked.
    pub(in crate::data) fn from_scaled(
        name: &str,
        images: Tensor,
        labels: Vec<u32>,
        classes: usize,
        (dtype, device, seed): (DType, Device, u64),
    ) -> candle_core::Result<Self> {
        let (_, c, h, w) = images.dims4()?;
        let images = Images::Values { images, are_scaled: true };
        let data = Data { shape: [c, h, w], is_flat: false, classes, images, labels, resident: OnceLock::new() };
        Ok(Self::whole(name, data, (dtype, device)).with_seed(seed))
    }

    /// No images, where those of a data set are not there.
    pub(in crate::data) fn none(name: &str, like: &Self) -> Self {
        Self { name: name.into(), start: 0, len: 0, augmentation: Augmentation::NONE, beside: None, ..like.clone() }
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there no image? Only `take(0)` makes such a split.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `train`, `validation` or `test`, or the name given to [`Split::from_arrays`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Channels, height and width of an image, with the zeros around it.
    pub fn shape(&self) -> [usize; 3] {
        let [c, h, w] = self.data.shape;
        [c, h + 2 * self.pad, w + 2 * self.pad]
    }

    /// Are the samples vectors, [n, F], rather than images?
    pub fn is_flat(&self) -> bool {
        self.data.is_flat
    }

    /// The shape of one sample: `[C, H, W]`, or `[F]`.
    pub fn sample_shape(&self) -> Vec<usize> {
        let shape = self.shape();
        if self.is_flat() { vec![shape[0]] } else { shape.to_vec() }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.data.classes
    }

    /// The dtype of the images in batches.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device of batches.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The seed that the data set was loaded with, for the order of batches.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is done to the images in augmented passes ([`crate::data::Batches::augmented`]), and nowhere else.
    pub fn augmentation(&self) -> Augmentation {
        self.augmentation
    }

    /// Zeros on each side of every image ([`Split::with_pad`]).
    pub fn pad(&self) -> usize {
        self.pad
    }

    /// Do its images lie in [0, 1] as they are made?
    pub(in crate::data) fn are_images(&self) -> bool {
        matches!(self.data.images, Images::Bytes { .. } | Images::Values { are_scaled: true, .. })
    }

    /// Are the images in main memory, where another thread can make batches of them?
    pub(in crate::data) fn in_main_memory(&self) -> bool {
        match &self.data.images {
            Images::Bytes { .. } => true,
            Images::Values { images, .. } => images.device().is_cpu(),
        }
    }

    /// The labels of all images.
    pub(in crate::data) fn label_list(&self) -> Vec<u32> {
        (0..self.len as u32).map(|i| self.label(i)).collect()
    }

    /// How many images of each class there are; as many entries as classes.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.data.classes];
        for i in 0..self.len as u32 {
            counts[self.label(i) as usize] += 1;
        }
        counts
    }

    /// Where in the data image `i` is.
    pub(super) fn place(&self, i: u32) -> usize {
        let at = self.start + i as usize;
        self.places.as_ref().map_or(at, |places| places[at] as usize)
    }

    pub(super) fn label(&self, i: u32) -> u32 {
        self.data.labels[self.place(i)]
    }

    /// The pixels of image `i` as bytes, and its label; nothing where the images are no pixels.
    pub(in crate::data) fn stored(&self, i: u32) -> Option<(&[u8], u32)> {
        let Images::Bytes { values, .. } = &self.data.images else { return None };
        let pixels: usize = self.data.shape.iter().product();
        let at = self.place(i) * pixels;
        Some((&values[at..at + pixels], self.label(i)))
    }
}
