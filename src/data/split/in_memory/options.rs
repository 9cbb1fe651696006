//! The same images otherwise: with zeros around them, augmented, in another number type, on another device.

use super::contents::{Beside, Split};
use crate::data::error::{Error, Result};
use crate::data::split::augment::Augmentation;
use crate::data::split::pad;
use candle_core::{DType, Device};
use std::sync::Arc;

impl Split {
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
}

/// Can images be of `dtype`?
pub fn check_dtype(dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::F64 | DType::F16 | DType::BF16 => Ok(()),
        other => Err(Error::Dtype { dtype: other.as_str() }),
    }
}
