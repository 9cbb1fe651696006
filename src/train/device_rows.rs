//! A store's rows of numbers on a CUDA device, gathered and scattered there by the images' numbers; f16 halves what they take.

use crate::compute::kernels::{Blocks, Source, launch, room};
use candle_core::{DType, Device, Result, Tensor, bail};
use std::io::Write;

const SOURCE: Source = Source::Rows;
/// Numbers that are read back at a time.
const PIECE: usize = 1 << 20;

/// `count` rows of `n` numbers.
#[derive(Debug)]
pub struct DeviceRows {
    numbers: Tensor,
    count: usize,
    n: usize,
}

impl DeviceRows {
    /// Rows of zeros in f16, f32 or f64.
    pub fn zeros(dtype: DType, count: usize, n: usize, device: &Device) -> Result<Self> {
        Ok(Self { numbers: Tensor::zeros(count * n, dtype, device)?, count, n })
    }

    pub fn dtype(&self) -> DType {
        self.numbers.dtype()
    }

    /// Memory taken on the device.
    pub fn bytes(&self) -> usize {
        self.numbers.elem_count() * self.dtype().size_in_bytes()
    }

    fn index(&self, images: &[u32]) -> Result<Tensor> {
        if let Some(image) = images.iter().find(|i| **i as usize >= self.count) {
            bail!("vectors: image {image} is out of range, the store has {} rows", self.count);
        }
        Tensor::new(images, self.numbers.device())
    }

    /// The rows of `images` as a tensor of this shape, in f32 or f64.
    pub fn gather(&self, images: &[u32], shape: &[usize], dtype: DType) -> Result<Tensor> {
        let (index, count) = (self.index(images)?, images.len() * self.n);
        let halves = self.dtype() == DType::F16;
        let y = room(shape, if halves { dtype } else { self.dtype() }, self.numbers.device())?;
        let kernel = if halves { "gather_halves" } else { "gather_rows" };
        let args = [(&self.numbers).into(), (&index).into(), (&y).into(), count.into(), self.n.into()];
        launch(SOURCE, kernel, &y, Blocks::Elements(count), &args)?;
        y.to_dtype(dtype)
    }

    /// Replace the rows of `images` by those of `u` `[images, ...]`; of an image that comes twice, the last counts.
    pub fn scatter(&self, images: &[u32], u: &Tensor) -> Result<()> {
        let mut from: Vec<u32> = (0..images.len() as u32).collect();
        from.sort_by_key(|at| (images[*at as usize], std::cmp::Reverse(*at)));
        from.dedup_by_key(|at| images[*at as usize]);
        let to: Vec<u32> = from.iter().map(|at| images[*at as usize]).collect();
        let (to, from) = (self.index(&to)?, Tensor::new(from, self.numbers.device())?);
        let count = to.elem_count() * self.n;
        let halves = self.dtype() == DType::F16;
        let u = if halves { u.clone() } else { u.to_dtype(self.dtype())? };
        let u = u.detach().to_device(self.numbers.device())?.contiguous()?;
        let kernel = if halves { "scatter_halves" } else { "scatter_rows" };
        let tensors = [&self.numbers, &to, &from, &u].map(Into::into);
        launch(SOURCE, kernel, &u, Blocks::Elements(count), &[&tensors[..], &[count.into(), self.n.into()]].concat())
    }

    /// Put numbers into the row of one image.
    pub fn fill(&self, image: u32, mut draw: impl FnMut() -> f64) -> Result<()> {
        let row: Vec<f64> = (0..self.n).map(|_| draw()).collect();
        let row = Tensor::from_vec(row, (1, self.n), &Device::Cpu)?;
        // On the host, with its rounding: the numbers are those of a store in main memory.
        let row = row.to_dtype(if self.dtype() == DType::F64 { DType::F64 } else { DType::F32 })?;
        self.scatter(&[image], &row)
    }

    /// All numbers, little-endian, a piece at a time.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let all = self.numbers.elem_count();
        for at in (0..all).step_by(PIECE) {
            let piece = self.numbers.narrow(0, at, PIECE.min(all - at))?.to_device(&Device::Cpu)?;
            out.write_all(&safetensors::View::data(&&piece))?;
        }
        Ok(())
    }

    /// Replace all numbers by those that [`Self::write`] wrote; there must be as many bytes as [`Self::bytes`].
    pub fn read(&mut self, bytes: &[u8]) -> Result<()> {
        self.numbers = Tensor::from_raw_buffer(bytes, self.dtype(), &[self.count * self.n], self.numbers.device())?;
        Ok(())
    }
}
