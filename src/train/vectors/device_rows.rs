//! A store's rows of numbers on a CUDA device, gathered and scattered there by the images' numbers; f16 halves what they take.
//! Rows lie in the layout that the layer's power iteration wants ([`Layout`]); in a file they are plane by plane.

use super::places::Places;
use crate::compute::gpu::recording::moved;
use crate::compute::gpu::{Arg, Blocks, Source, by_width, launch, pieces, room, width};
use crate::compute::layout;
use crate::compute::layout::Layout;
use crate::compute::power::gpu_passes::Norms;
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;
use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;

const SOURCE: Source = Source::Rows;
/// Numbers that are read back at a time.
const PIECE: usize = 1 << 20;

/// `count` rows of `n` numbers, each a sample of this shape.
#[derive(Debug)]
pub struct DeviceRows {
    numbers: Tensor,
    count: usize,
    n: usize,
    /// Plane by plane.
    shape: Vec<usize>,
    layout: Layout,
}

impl DeviceRows {
    /// Rows of zeros in f16, f32 or f64, of the shape of a sample, their memory in this layout.
    pub fn zeros(dtype: DType, count: usize, shape: &[usize], layout: Layout, device: &Device) -> Result<Self> {
        let n = shape.iter().product::<usize>();
        Ok(Self { numbers: Tensor::zeros(count * n, dtype, device)?, count, n, shape: shape.to_vec(), layout })
    }

    /// The layout of the rows.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Where number `i` of a sample, plane by plane, lies in its row.
    pub fn place_of(&self, i: usize) -> usize {
        match (self.layout, self.shape.as_slice()) {
            (Layout::Nhwc, &[c, h, w]) => i % (h * w) * c + i / (h * w),
            _ => i,
        }
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

    /// The rows of `places` in f16, f32 or f64, their memory in the store's order, masked where there is a mask, contiguous in it; behind
    /// them `whole`, one row of this type, f32 for f16, in this order, which no mask is for.
    pub fn gather(
        &self,
        places: &Places,
        dtype: DType,
        mask: Option<&Tensor>,
        whole: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.check(places)?;
        if self.dtype() == DType::F64 && dtype == DType::F16 {
            // By way of f32, as everywhere.
            return self.gather(places, DType::F32, mask, whole)?.to_dtype(dtype);
        }
        let own = match (self.dtype(), dtype) {
            // The kernels read halves and f32 and write either.
            (DType::F16, _) | (DType::F32, DType::F16) => dtype,
            (kept, _) => kept,
        };
        // Numbers of another type than the kernel reads.
        if let Some(whole) = whole.filter(|_| own != dtype) {
            return Tensor::cat(&[&self.gather(places, dtype, mask, None)?, &whole.reshape(self.sample())?], 0);
        }
        let (rows, behind) = (places.len(), usize::from(whole.is_some()));
        let shape = [&[rows + behind], &self.sample()[1..]].concat();
        let (index, n) = (places.index(self.numbers.device())?, self.n);
        let y = room(shape, own, self.numbers.device())?;
        let width = width(n, &[&y, &self.numbers])?;
        let pieces = pieces(n, width);
        let tensors = [(&self.numbers).into(), (&index).into(), mask.into(), whole.into(), (&y).into()];
        let args = [&tensors[..], &[n, pieces, rows].map(Arg::Count)].concat();
        let kernel = match (self.halves(), own == DType::F16) {
            (true, false) => ["gather_halves_1", "gather_halves_4"],
            (false, false) => ["gather_rows_1", "gather_rows_4"],
            (true, true) => ["gather_halves_as_halves_1", "gather_halves_as_halves_4"],
            (false, true) => ["gather_rows_as_halves_1", "gather_rows_as_halves_4"],
        };
        let kernel = by_width(width, kernel);
        launch(SOURCE, kernel, &y, Blocks::Exactly((rows + behind) * pieces), &args)?;
        y.to_dtype(dtype)
    }

    /// The shape of one row in the order of its memory.
    fn sample(&self) -> Vec<usize> {
        [&[1], layout::shape(&self.shape, self.layout).as_slice()].concat()
    }

    /// Replace the rows of `places` by those of `u` `[images, ...]`, in the store's order, each divided by its norm where there
    /// are norms; of an image that comes twice, the last counts. `whole` is one more row, and where it goes.
    pub fn scatter(
        &self,
        places: &Places,
        own: (&Tensor, Option<&Norms>),
        whole: Option<((&Tensor, Option<&Norms>), &Tensor)>,
    ) -> Result<()> {
        self.check(places)?;
        let (u, norms) = own;
        let (to, from) = places.targets(self.numbers.device())?;
        let n = self.n;
        let as_it_is = self.halves() || self.dtype() == DType::F32 && u.dtype() == DType::F16;
        let u = match u.dtype() {
            _ if as_it_is => u.clone(),
            DType::F16 => u.to_dtype(DType::F32)?.to_dtype(self.dtype())?,
            _ => u.to_dtype(self.dtype())?,
        };
        let u = u.detach().to_device(self.numbers.device())?.contiguous()?;
        let width = width(n, &[&u, &self.numbers])?;
        let pieces = pieces(n, width);
        // Numbers of another type than the kernel writes.
        let written = if u.dtype() == DType::F16 { DType::F32 } else { u.dtype() };
        if let Some(((other, norms), into)) = whole.filter(|(_, into)| into.dtype() != written) {
            self.scatter(places, own, None)?;
            let unit = norms.map_or_else(|| Ok(other.detach()), |norms| norms.unit(other))?;
            return into.slice_set(&unit.to_dtype(into.dtype())?.contiguous()?, 0, 0);
        }
        let (rows, behind) = (to.elem_count(), usize::from(whole.is_some()));
        let (sums, others) =
            (norms.map(|norms| &norms.sums), whole.and_then(|((_, norms), _)| norms).map(|norms| &norms.sums));
        let last = whole.map(|((other, _), _)| other.detach().contiguous()).transpose()?;
        let tensors = [(&self.numbers).into(), (&to).into(), from.as_ref().into(), (&u).into(), sums.into()];
        let one = [last.as_ref().into(), others.into(), whole.map(|(_, into)| into).into()];
        let counts = [n, pieces, norms.map_or(0, |norms| norms.pieces), rows].map(Arg::Count);
        let kernel = match (self.halves(), u.dtype() == DType::F16) {
            (true, false) => ["scatter_halves_1", "scatter_halves_4"],
            (false, false) => ["scatter_rows_1", "scatter_rows_4"],
            (true, true) => ["scatter_halves_as_halves_1", "scatter_halves_as_halves_4"],
            (false, true) => ["scatter_rows_as_halves_1", "scatter_rows_as_halves_4"],
        };
        let kernel = by_width(width, kernel);
        let args = [&tensors[..], &one, &counts].concat();
        launch(SOURCE, kernel, &u, Blocks::Exactly((rows + behind) * pieces), &args)
    }

    /// Put `rows` `[images, n]`, in main memory, of the store's number type and order, into those of `images`, each once.
    pub fn place(&self, images: &[u32], rows: &Tensor) -> Result<()> {
        let places = Places::new(images.to_vec());
        self.check(&places)?;
        let rows = rows.to_device(self.numbers.device())?;
        if !self.halves() {
            return self.scatter(&places, (&rows, None), None);
        }
        let (index, pieces) = (places.index(self.numbers.device())?, pieces(self.n, 1));
        let args = [(&self.numbers).into(), (&index).into(), (&rows).into(), self.n.into(), pieces.into()];
        launch(SOURCE, "place_halves", &rows, Blocks::Exactly(images.len() * pieces), &args)
    }

    /// The numbers of some rows plane by plane, little-endian, some rows at a time.
    pub fn write(&self, own: Range<usize>, out: &mut dyn Write) -> Result<()> {
        let size = self.dtype().size_in_bytes();
        let rows = (PIECE / self.n.max(1)).max(1);
        for at in own.clone().step_by(rows) {
            let count = rows.min(own.end - at);
            let piece = self.numbers.narrow(0, at * self.n, count * self.n)?.to_device(&Device::Cpu)?;
            let bytes = safetensors::View::data(&&piece).into_owned();
            out.write_all(&self.moved(&bytes, size, |i| (self.place_of(i), i)))?;
        }
        Ok(())
    }

    /// Replace the numbers of some rows by those that [`Self::write`] wrote.
    pub fn read(&mut self, own: Range<usize>, bytes: &[u8]) -> Result<()> {
        let bytes = self.moved(bytes, self.dtype().size_in_bytes(), |i| (i, self.place_of(i)));
        let new = Tensor::from_raw_buffer(&bytes, self.dtype(), &[own.len() * self.n], self.numbers.device())?;
        if own == (0..self.count) {
            self.numbers = new;
            moved();
            return Ok(());
        }
        self.numbers.slice_set(&new, 0, own.start * self.n)
    }

    /// Rows of numbers of so many bytes, each number from one place to another.
    fn moved<'a>(
        &self,
        bytes: &'a [u8],
        size: usize,
        places: impl Fn(usize) -> (usize, usize) + Sync,
    ) -> Cow<'a, [u8]> {
        if self.layout == Layout::Nchw || bytes.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let (row, mut out) = (self.n * size, vec![0; bytes.len()]);
        out.par_chunks_mut(row).zip(bytes.par_chunks(row)).for_each(|(to, from)| {
            for i in 0..self.n {
                let (a, b) = places(i);
                to[b * size..(b + 1) * size].copy_from_slice(&from[a * size..(a + 1) * size]);
            }
        });
        Cow::Owned(out)
    }
}
