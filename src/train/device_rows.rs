//! A store's rows of numbers on a CUDA device, gathered and scattered there by the images' numbers; f16 halves what they take.

use super::places::Places;
use crate::compute::fused::passes::Norms;
use crate::compute::kernels::{Arg, Blocks, Source, by_width, launch, pieces, room, width};
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

    fn halves(&self) -> bool {
        self.dtype() == DType::F16
    }

    fn check(&self, places: &Places) -> Result<()> {
        match places.images().iter().find(|i| **i as usize >= self.count) {
            Some(image) => bail!("vectors: image {image} is out of range, the store has {} rows", self.count),
            None => Ok(()),
        }
    }

    /// The rows of `places` as a tensor of this shape, in f32 or f64, masked where there is a mask of that shape.
    pub fn gather(&self, places: &Places, shape: &[usize], dtype: DType, mask: Option<&Tensor>) -> Result<Tensor> {
        self.check(places)?;
        let (index, n) = (places.index(self.numbers.device())?, self.n);
        let own = if self.halves() { dtype } else { self.dtype() };
        let y = room(shape, own, self.numbers.device())?;
        let width = width(n, &[&y, &self.numbers])?;
        let pieces = pieces(n, width);
        let args = [(&self.numbers).into(), (&index).into(), mask.into(), (&y).into(), n.into(), pieces.into()];
        let kernel = by_width(
            width,
            if self.halves() { ["gather_halves_1", "gather_halves_4"] } else { ["gather_rows_1", "gather_rows_4"] },
        );
        launch(SOURCE, kernel, &y, Blocks::Exactly(places.len() * pieces), &args)?;
        y.to_dtype(dtype)
    }

    /// Replace the rows of `places` by those of `u` `[images, ...]`, each divided by its norm where there are norms; of an
    /// image that comes twice, the last counts.
    pub fn scatter(&self, places: &Places, u: &Tensor, norms: Option<&Norms>) -> Result<()> {
        self.check(places)?;
        let (to, from) = places.targets(self.numbers.device())?;
        let n = self.n;
        let u = if self.halves() { u.clone() } else { u.to_dtype(self.dtype())? };
        let u = u.detach().to_device(self.numbers.device())?.contiguous()?;
        let width = width(n, &[&u, &self.numbers])?;
        let pieces = pieces(n, width);
        let tensors = [(&self.numbers).into(), (&to).into(), from.as_ref().into(), (&u).into()];
        let sums = norms.map(|norms| &norms.sums).into();
        let counts = [n, pieces, norms.map_or(0, |norms| norms.pieces)].map(Arg::Count);
        let kernel = by_width(
            width,
            if self.halves() { ["scatter_halves_1", "scatter_halves_4"] } else { ["scatter_rows_1", "scatter_rows_4"] },
        );
        let args = [&tensors[..], &[sums], &counts].concat();
        launch(SOURCE, kernel, &u, Blocks::Exactly(to.elem_count() * pieces), &args)
    }

    /// Put `rows` `[images, n]`, in main memory and of the store's number type, into those of `images`, each of them once.
    pub fn place(&self, images: &[u32], rows: &Tensor) -> Result<()> {
        let places = Places::new(images.to_vec());
        self.check(&places)?;
        let rows = rows.to_device(self.numbers.device())?;
        if !self.halves() {
            return self.scatter(&places, &rows, None);
        }
        let (index, pieces) = (places.index(self.numbers.device())?, pieces(self.n, 1));
        let args = [(&self.numbers).into(), (&index).into(), (&rows).into(), self.n.into(), pieces.into()];
        launch(SOURCE, "place_halves", &rows, Blocks::Exactly(images.len() * pieces), &args)
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
