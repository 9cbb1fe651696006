//! A split: images and labels in memory, kept as compact as they were stored and turned into tensors batch by batch.

use super::augment::{Augmentation, Window};
use super::batches::{BatchOrder, Batches};
use super::decoded::Values;
use super::error::{Error, Result};
use super::file_error::FileError;
use candle_core::{DType, Device, Tensor, WithDType};
use std::sync::Arc;

/// A run of images with their labels. Cheap to clone; clones and parts share the data.
///
/// Indices always count from 0 within the split at hand, also in one made by [`Split::take`] or [`Split::range`].
#[derive(Debug, Clone)]
pub struct Split {
    data: Arc<Data>,
    start: usize,
    len: usize,
    dtype: DType,
    device: Device,
    seed: u64,
    augmentation: Augmentation,
}

#[derive(Debug)]
struct Data {
    name: String,
    shape: [usize; 3],
    classes: usize,
    images: Images,
    labels: Vec<u32>,
}

#[derive(Debug)]
enum Images {
    /// As stored in a file; byte `v` stands for `levels[v] = v / scale`.
    Bytes { values: Values, levels: Vec<f64> },
    /// Arbitrary values, [n, C, H, W].
    Values(Tensor),
}

impl Split {
    /// Images from a file: `values` holds them one after the other in CHW order, none above `scale`. Labels and
    /// the dtype have been checked.
    pub(super) fn from_bytes(
        name: &str,
        shape: [usize; 3],
        classes: usize,
        (values, labels): (Values, Vec<u32>),
        scale: u8,
        options: &super::Options,
    ) -> Self {
        let levels = (0..=u8::MAX).map(|v| f64::from(v) / f64::from(scale)).collect();
        let len = labels.len();
        let images = Images::Bytes { values, levels };
        let data = Data { name: name.into(), shape, classes, images, labels };
        let (dtype, device, seed) = (options.dtype, options.device.clone(), options.seed);
        Self { data: Arc::new(data), start: 0, len, dtype, device, seed, augmentation: Augmentation::default() }
    }

    /// A split called `name` from values in memory: `images` [n, C, H, W] of a floating-point dtype, with any values, and
    /// n labels in `0..classes`. Batches have the dtype of `images` and are on its device; nothing is differentiated
    /// through. The seed is 0.
    pub fn from_arrays(name: &str, images: &Tensor, labels: &[u32], classes: usize) -> Result<Self> {
        let fail = |message| Error::Arrays { split: name.into(), message };
        let &[n, c, h, w] = images.dims() else {
            return Err(fail(format!("images have the shape {:?}; expected [n, C, H, W]", images.dims())));
        };
        check_dtype(images.dtype())?;
        if n != labels.len() {
            return Err(fail(format!("{n} images but {} labels", labels.len())));
        }
        if n == 0 || c * h * w == 0 || u32::try_from(n).is_err() {
            return Err(fail(format!(
                "images have the shape {:?}; expected 1 to 2^32 - 1 images, none empty",
                images.dims()
            )));
        }
        if classes == 0 {
            return Err(fail("0 classes; expected at least 1".into()));
        }
        check_labels(&format!("split `{name}`"), labels, classes)?;
        let (dtype, device) = (images.dtype(), images.device().clone());
        let images = Images::Values(images.detach().contiguous()?);
        let data = Data { name: name.into(), shape: [c, h, w], classes, images, labels: labels.to_vec() };
        let augmentation = Augmentation::default();
        Ok(Self { data: Arc::new(data), start: 0, len: n, dtype, device, seed: 0, augmentation })
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there no image? Only `take(0)` makes such a split.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `train` or `test`, or the name given to [`Split::from_arrays`].
    pub fn name(&self) -> &str {
        &self.data.name
    }

    /// Channels, height and width of an image.
    pub fn shape(&self) -> [usize; 3] {
        self.data.shape
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

    /// What is done to the images in augmented passes ([`Batches::augmented`]), and nowhere else.
    pub fn augmentation(&self) -> Augmentation {
        self.augmentation
    }

    /// The same split with another augmentation. A crop greater than the images is an error.
    pub fn with_augmentation(&self, augmentation: Augmentation) -> Result<Self> {
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

    /// The images at `indices`, or of each the part in its window; not yet on the split's device.
    pub(super) fn make(&self, indices: &[u32], windows: Option<&[Window]>) -> candle_core::Result<Tensor> {
        self.check_indices(indices)?;
        match &self.data.images {
            Images::Bytes { values, levels } => match self.dtype {
                // The common case without a detour: a table in f32, and no f64 copy of the batch.
                DType::F32 => {
                    let levels: Vec<f32> = levels.iter().map(|&v| v as f32).collect();
                    self.tensor(self.gather(values, &levels, indices), windows)
                }
                dtype => self.tensor(self.gather(values, levels, indices), windows)?.to_dtype(dtype),
            },
            Images::Values(images) => {
                let rows = indices.iter().map(|&i| self.start as u32 + i).collect::<Vec<_>>();
                let rows = Tensor::from_vec(rows, indices.len(), images.device())?;
                let images = images.index_select(&rows, 0)?;
                if windows.is_none() {
                    return images.to_dtype(self.dtype);
                }
                let values = images.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
                self.tensor(values, windows)?.to_dtype(self.dtype)
            }
        }
    }

    /// The labels at `indices`, [n] of u32. An index past the end is an error.
    pub fn labels(&self, indices: &[u32]) -> candle_core::Result<Tensor> {
        self.make_labels(indices)?.to_device(&self.device)
    }

    /// The labels at `indices`, not yet on the split's device.
    pub(super) fn make_labels(&self, indices: &[u32]) -> candle_core::Result<Tensor> {
        self.check_indices(indices)?;
        let own = self.own_labels();
        let labels: Vec<u32> = indices.iter().map(|&i| own[i as usize]).collect();
        Tensor::from_vec(labels, indices.len(), &Device::Cpu)
    }

    /// Are the images in main memory, where another thread can make batches of them?
    pub(super) fn in_main_memory(&self) -> bool {
        match &self.data.images {
            Images::Bytes { .. } => true,
            Images::Values(images) => images.device().is_cpu(),
        }
    }

    /// The first `n` images, or all if there are fewer; see [`Split::range`] for a strict form.
    pub fn take(&self, n: usize) -> Self {
        Self { len: self.len.min(n), ..self.clone() }
    }

    /// The images `start..end`; an empty range or one that goes past the end is an error.
    pub fn range(&self, start: usize, end: usize) -> Result<Self> {
        if start >= end || end > self.len {
            return Err(Error::Range { split: self.name().into(), start, end, len: self.len });
        }
        Ok(Self { start: self.start + start, len: end - start, ..self.clone() })
    }

    /// How many images of each class there are; as many entries as classes.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.data.classes];
        for &label in self.own_labels() {
            counts[label as usize] += 1;
        }
        counts
    }

    /// One pass over the split in batches of `size`; the last one may be shorter. Size 0 is an error.
    pub fn batches(&self, size: usize, order: BatchOrder) -> Result<Batches> {
        Batches::new(self.clone(), size, order)
    }

    fn own_labels(&self) -> &[u32] {
        &self.data.labels[self.start..self.start + self.len]
    }

    /// Values of images one after the other, each cut to its window, as a tensor in main memory.
    fn tensor<T: WithDType + Default>(
        &self,
        mut values: Vec<T>,
        windows: Option<&[Window]>,
    ) -> candle_core::Result<Tensor> {
        let [c, h, w] = self.data.shape;
        if let Some(windows) = windows {
            let images = values.chunks_exact_mut(c * h * w);
            images.zip(windows).for_each(|(image, window)| window.cut(image, self.data.shape));
        }
        let n = values.len() / (c * h * w);
        Tensor::from_vec(values, (n, c, h, w), &Device::Cpu)
    }

    fn gather<T: Copy>(&self, values: &[u8], levels: &[T], indices: &[u32]) -> Vec<T> {
        let pixels: usize = self.data.shape.iter().product();
        let mut out = Vec::with_capacity(indices.len() * pixels);
        for &i in indices {
            let at = (self.start + i as usize) * pixels;
            out.extend(values[at..at + pixels].iter().map(|&v| levels[usize::from(v)]));
        }
        out
    }

    fn check_indices(&self, indices: &[u32]) -> Result<()> {
        match indices.iter().find(|&&i| i as usize >= self.len) {
            Some(&index) => Err(Error::Index { split: self.name().into(), index, len: self.len }),
            None => Ok(()),
        }
    }
}

/// Are all `labels` classes? `file` names them in the error.
pub(super) fn check_labels(file: &str, labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|&l| l as usize >= classes) {
        Some(index) => Err(FileError::Label { file: file.into(), index, value: labels[index], classes }.into()),
        None => Ok(()),
    }
}

/// Can images be of `dtype`?
pub(super) fn check_dtype(dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::F64 | DType::F16 | DType::BF16 => Ok(()),
        other => Err(Error::Dtype { dtype: other.as_str() }),
    }
}
