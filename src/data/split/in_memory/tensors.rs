//! Images and labels at some indices as tensors.

use super::contents::{Images, Split};
use crate::data::error::{Error, Result};
use crate::data::split::augment::Draw;
use crate::data::split::pad;
use crate::data::split::resident::{self, Pictures};
use candle_core::{DType, Device, Tensor, WithDType};

impl Split {
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
    pub(in crate::data::split) fn make_near(
        &self,
        indices: &[u32],
        draws: Option<&[Draw]>,
        here: bool,
    ) -> candle_core::Result<Tensor> {
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

    fn gather<T: Copy>(&self, values: &[u8], levels: &[T], indices: &[u32]) -> Vec<T> {
        let pixels: usize = self.data.shape.iter().product();
        let mut out = Vec::with_capacity(indices.len() * pixels);
        for &i in indices {
            let at = self.place(i) * pixels;
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
