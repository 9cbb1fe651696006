//! Images that lie on a CUDA device as the bytes they were stored as, and batches made of them there: a batch costs its
//! images' numbers and windows on the way to the device, and no thread ahead of the loop.
//!
//! Crops and reflections are those that a batch made in main memory gets, number for number; rotation, random operations and cutout are done
//! in main memory alone.

use super::augment::{Augmentation, Draw};
use crate::compute::device::available_memory_on;
use crate::compute::gpu;
use crate::compute::gpu::{Blocks, Source, launch, room};
use candle_core::{DType, Device, Result, Tensor};

/// Of what is free on the device, this part at most is taken by a data set.
const PART: u64 = 2;

/// Are batches with this augmentation made on this device?
pub(in crate::data) fn serves(device: &Device, dtype: DType, augmentation: &Augmentation) -> bool {
    let kind = augmentation.rotation == 0.0 && augmentation.cutout == 0 && augmentation.random.operations == 0;
    gpu::on(device) && kind && matches!(dtype, DType::F32 | DType::F64)
}

/// `bytes` on the device, if they fit there with room to spare.
pub(in crate::data) fn upload(bytes: &[u8], device: &Device) -> Option<Tensor> {
    let fits = bytes.len() as u64 <= available_memory_on(device) / PART;
    fits.then(|| Tensor::from_slice(bytes, bytes.len(), device).ok()).flatten()
}

/// What a batch is made of.
pub(in crate::data) struct Pictures<'a> {
    /// All images, one after the other.
    pub bytes: &'a Tensor,
    /// The value of each byte.
    pub levels: &'a [f64],
    /// Channels, height and width as stored.
    pub shape: [usize; 3],
    /// Zeros on each side.
    pub pad: usize,
    /// The border of which the windows are cut.
    pub crop: usize,
}

impl Pictures<'_> {
    /// The images at `places`, each with its window where there are draws: `[n, C, H, W]` in `dtype`.
    pub fn make(&self, places: Vec<u32>, draws: Option<&[Draw]>, dtype: DType) -> Result<Tensor> {
        let (n, device) = (places.len(), self.bytes.device());
        let windows = match draws {
            Some(draws) => draws.iter().flat_map(Draw::window).collect(),
            // The middle of the border, as stored.
            None => [self.crop as u32, self.crop as u32, 0].repeat(n),
        };
        let levels =
            Tensor::from_slice(self.levels, self.levels.len(), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
        let (places, windows) = (Tensor::from_vec(places, n, device)?, Tensor::from_vec(windows, 3 * n, device)?);
        let [c, h, w] = self.shape;
        let x = room((n, c, h + 2 * self.pad, w + 2 * self.pad), dtype, device)?;
        let tensors = [self.bytes, &levels, &places, &windows, &x].map(Into::into);
        let counts = [x.elem_count(), c, h, w, self.pad, self.crop].map(Into::into);
        let count = Blocks::Elements(x.elem_count());
        launch(Source::Pictures, "pictures", &x, count, &[&tensors[..], &counts].concat())?;
        Ok(x)
    }
}
