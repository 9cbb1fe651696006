//! A split: images and labels in memory, kept as compact as they were stored and turned into tensors batch by batch.

use super::augment::{Augmentation, Draw};
use super::pad;
use super::resident::{self, Pictures};
use crate::data::error::{Error, Result};
use crate::data::values::Values;
use candle_core::{DType, Device, Tensor, WithDType};
use std::sync::{Arc, OnceLock};

/// Some images with their labels. Cheap to clone; clones and parts share the data.
///
/// Indices always count from 0 within the split at hand, also in one made by [`Split::take`], [`Split::range`] or
/// [`Split::per_class`].
#[derive(Debug, Clone)]
pub struct Split {
    name: Arc<str>,
    data: Arc<Data>,
    /// Where its images are in `data`, if they are not all of them in order.
    places: Option<Arc<[u32]>>,
    /// The part of `places`, or of `data`.
    start: usize,
    len: usize,
    /// Zeros on each side of an image.
    pad: usize,
    dtype: DType,
    device: Device,
    seed: u64,
    augmentation: Augmentation,
    beside: Option<Arc<Beside>>,
}

/// Images of a second data set that stand beside those of a split in its shuffled batches, so many for each.
#[derive(Debug)]
pub(super) struct Beside {
    pub split: Split,
    pub ratio: f64,
}

#[derive(Debug)]
struct Data {
    /// Channels, height, width; of vectors the features, 1, 1.
    shape: [usize; 3],
    /// Are the samples vectors, [n, F], rather than images?
    is_flat: bool,
    classes: usize,
    images: Images,
    labels: Vec<u32>,
    /// The bytes on the device that makes batches of them, once one was asked for; nothing where they do not fit.
    resident: OnceLock<Option<Tensor>>,
}

#[derive(Debug)]
enum Images {
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

    /// The same split with `pad` zeros on each side of every image as it was stored; nothing stands beside it.
    pub fn with_pad(&self, pad: usize) -> Result<Self> {
        self.check_images(pad > 0, "pad")?;
        pad::grown(&format!("split `{}`", self.name()), self.data.shape, pad)?;
        // The augmentation may be too wide for fewer of them.
        Self { pad, beside: None, ..self.clone() }.with_augmentation(self.augmentation)
    }

    /// The same split under another name.
    pub(in crate::data) fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same split with another seed.
    pub(in crate::data) fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// For people, what becomes of the images: `pad 2, crop 4, flip, beside each 3 of 1000000 others`; empty where they stay as they are.
    pub fn describe_changes(&self) -> String {
        let pad = if self.pad > 0 { format!("pad {}", self.pad) } else { String::new() };
        let beside = |b: &Arc<Beside>| format!("beside each {} of {} others", b.ratio, b.split.len());
        let parts = [pad, self.augmentation.describe(), self.beside.as_ref().map_or(String::new(), beside)];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// The same split with another augmentation. A crop or cutout greater than the images is an error.
    pub fn with_augmentation(&self, augmentation: Augmentation) -> Result<Self> {
        self.check_images(!augmentation.is_none(), &augmentation.describe())?;
        augmentation.check(&format!("split `{}`", self.name()), self.shape())?;
        Ok(Self { augmentation, ..self.clone() })
    }

    /// The same images in another dtype, computed from the stored values and not from rounded ones.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        check_dtype(dtype)?;
        Ok(Self { dtype, ..self.clone() })
    }

    /// The same split with batches on `device`.
    pub fn to_device(&self, device: &Device) -> Self {
        Self { device: device.clone(), ..self.clone() }
    }

    /// The images at `indices`, [n, C, H, W]. Values from files are from 0 to 1: value / scale in f64, rounded once to the
    /// split's dtype. An index past the end is an error.
    pub fn images(&self, indices: &[u32]) -> candle_core::Result<Tensor> {
        self.make(indices, None)?.to_device(&self.device)
    }

    /// The images at `indices`, or what has become of them by `draws`; not yet on the split's device.
    pub(in crate::data) fn make(&self, indices: &[u32], draws: Option<&[Draw]>) -> candle_core::Result<Tensor> {
        self.check_indices(indices)?;
        let made = self.made(indices, draws)?;
        if self.is_flat() { made.flatten_from(1) } else { Ok(made) }
    }

    /// The same; made on the split's device where the images lie there and `here` says that this thread may.
    pub(super) fn make_near(&self, indices: &[u32], draws: Option<&[Draw]>, here: bool) -> candle_core::Result<Tensor> {
        let on_device = if here { self.make_on_device(indices, draws)? } else { None };
        on_device.map_or_else(|| self.make(indices, draws), Ok)
    }

    fn made(&self, indices: &[u32], draws: Option<&[Draw]>) -> candle_core::Result<Tensor> {
        match &self.data.images {
            Images::Bytes { values, levels } => match self.dtype {
                // The common case without a detour: a table in f32, and no f64 copy of the batch.
                DType::F32 => {
                    let levels: Vec<f32> = levels.iter().map(|&v| v as f32).collect();
                    self.tensor(self.gather(values, &levels, indices), draws)
                }
                dtype => self.tensor(self.gather(values, levels, indices), draws)?.to_dtype(dtype),
            },
            Images::Values { images, .. } => {
                let rows = indices.iter().map(|&i| self.place(i) as u32).collect::<Vec<_>>();
                let rows = Tensor::from_vec(rows, indices.len(), images.device())?;
                let images = images.index_select(&rows, 0)?;
                if draws.is_none() {
                    let wide = images.pad_with_zeros(2, self.pad, self.pad)?.pad_with_zeros(3, self.pad, self.pad)?;
                    return wide.to_dtype(self.dtype);
                }
                let values = images.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
                self.tensor(values, draws)?.to_dtype(self.dtype)
            }
        }
    }

    /// The images at `indices`, made on the split's device of the bytes that lie there; nothing where that is not done.
    fn make_on_device(&self, indices: &[u32], draws: Option<&[Draw]>) -> candle_core::Result<Option<Tensor>> {
        self.check_indices(indices)?;
        let (Some(bytes), Images::Bytes { levels, .. }) = (self.resident(), &self.data.images) else { return Ok(None) };
        let (shape, crop) = (self.data.shape, self.augmentation.crop);
        let places = indices.iter().map(|&i| self.place(i) as u32).collect();
        Pictures { bytes, levels, shape, pad: self.pad, crop }.make(places, draws, self.dtype).map(Some)
    }

    /// The bytes on the split's device, put there at the first call.
    pub(in crate::data) fn resident(&self) -> Option<&Tensor> {
        let Images::Bytes { values, .. } = &self.data.images else { return None };
        if !resident::serves(&self.device, self.dtype, &self.augmentation) {
            return None;
        }
        self.data.resident.get_or_init(|| resident::upload(values, &self.device)).as_ref()
    }

    /// Do its images lie in [0, 1] as they are made?
    pub(in crate::data) fn are_images(&self) -> bool {
        matches!(self.data.images, Images::Bytes { .. } | Images::Values { are_scaled: true, .. })
    }

    /// The labels at `indices`, `[n]` of u32. An index past the end is an error.
    pub fn labels(&self, indices: &[u32]) -> candle_core::Result<Tensor> {
        self.make_labels(indices)?.to_device(&self.device)
    }

    /// The labels at `indices`, not yet on the split's device.
    pub(in crate::data) fn make_labels(&self, indices: &[u32]) -> candle_core::Result<Tensor> {
        self.check_indices(indices)?;
        let labels: Vec<u32> = indices.iter().map(|&i| self.label(i)).collect();
        Tensor::from_vec(labels, indices.len(), &Device::Cpu)
    }

    /// Are the images in main memory, where another thread can make batches of them?
    pub(in crate::data) fn in_main_memory(&self) -> bool {
        match &self.data.images {
            Images::Bytes { .. } => true,
            Images::Values { images, .. } => images.device().is_cpu(),
        }
    }

    /// The first `n` images, or all if there are fewer; see [`Split::range`] for a strict form. Nothing stands beside a part of a split.
    pub fn take(&self, n: usize) -> Self {
        Self { len: self.len.min(n), beside: None, ..self.clone() }
    }

    /// The images `start..end`; an empty range or one that goes past the end is an error.
    pub fn range(&self, start: usize, end: usize) -> Result<Self> {
        if start >= end || end > self.len {
            return Err(Error::Range { split: self.name().into(), start, end, len: self.len });
        }
        Ok(Self { start: self.start + start, len: end - start, beside: None, ..self.clone() })
    }

    /// The images at `indices`, which have been checked, in that order.
    pub(in crate::data) fn select(&self, indices: &[u32]) -> Self {
        let places: Arc<[u32]> = indices.iter().map(|&i| self.place(i) as u32).collect();
        Self { start: 0, len: places.len(), places: Some(places), beside: None, ..self.clone() }
    }

    /// With `split` beside it, of which `ratio` images come to each of its own in shuffled batches. All of it has been checked.
    pub(in crate::data) fn and_beside(self, split: Self, ratio: f64) -> Self {
        Self { beside: Some(Arc::new(Beside { split, ratio })), ..self }
    }

    /// What stands beside it, made into batches as its own images are: of its dtype, with its augmentation; and how many come to each.
    pub(in crate::data) fn beside(&self) -> Option<(Self, f64)> {
        let Beside { split, ratio } = &**self.beside.as_ref()?;
        let (dtype, device, seed, augmentation) = (self.dtype, self.device.clone(), self.seed, self.augmentation);
        Some((Self { dtype, device, seed, augmentation, ..split.clone() }, *ratio))
    }

    /// The numbers that images of its batches can have: its own, and behind them those of what stands beside it.
    pub fn places(&self) -> usize {
        self.len + self.beside.as_ref().map_or(0, |beside| beside.split.len)
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
    fn place(&self, i: u32) -> usize {
        let at = self.start + i as usize;
        self.places.as_ref().map_or(at, |places| places[at] as usize)
    }

    fn label(&self, i: u32) -> u32 {
        self.data.labels[self.place(i)]
    }

    /// Values of images one after the other as a tensor in main memory, with the zeros around them and what is drawn.
    fn tensor<T: WithDType + Default>(&self, values: Vec<T>, draws: Option<&[Draw]>) -> candle_core::Result<Tensor> {
        let mut values = pad::around(values, self.data.shape, self.pad);
        let shape @ [c, h, w] = self.shape();
        if let Some(draws) = draws {
            let images = values.chunks_exact_mut(c * h * w);
            images.zip(draws).for_each(|(image, draw)| draw.apply(image, shape));
        }
        let n = values.len() / (c * h * w);
        Tensor::from_vec(values, (n, c, h, w), &Device::Cpu)
    }

    /// The pixels of image `i` as bytes, and its label; nothing where the images are no pixels.
    pub(in crate::data) fn stored(&self, i: u32) -> Option<(&[u8], u32)> {
        let Images::Bytes { values, .. } = &self.data.images else { return None };
        let pixels: usize = self.data.shape.iter().product();
        let at = self.place(i) * pixels;
        Some((&values[at..at + pixels], self.label(i)))
    }

    fn gather<T: Copy>(&self, values: &[u8], levels: &[T], indices: &[u32]) -> Vec<T> {
        let pixels: usize = self.data.shape.iter().product();
        let mut out = Vec::with_capacity(indices.len() * pixels);
        for &i in indices {
            let at = self.place(i) * pixels;
            out.extend(values[at..at + pixels].iter().map(|&v| levels[usize::from(v)]));
        }
        out
    }

    /// An error where something is asked for that only images can have.
    fn check_images(&self, is_asked: bool, what: &str) -> Result<()> {
        if !is_asked || !self.is_flat() {
            return Ok(());
        }
        let message = format!(
            "its samples are vectors of {} features, and `{what}` is for images [C, H, W]; leave it out, or give images [n, C, H, W]",
            self.data.shape[0]
        );
        Err(Error::Arrays { split: self.name().into(), message })
    }

    fn check_indices(&self, indices: &[u32]) -> Result<()> {
        match indices.iter().find(|&&i| i as usize >= self.len) {
            Some(&index) => Err(Error::Index { split: self.name().into(), index, len: self.len }),
            None => Ok(()),
        }
    }
}

/// Can images be of `dtype`?
pub fn check_dtype(dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::F64 | DType::F16 | DType::BF16 => Ok(()),
        other => Err(Error::Dtype { dtype: other.as_str() }),
    }
}
