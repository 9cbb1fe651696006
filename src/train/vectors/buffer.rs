//! The numbers of a store of vectors in the number type that was asked for: in main memory, or on the device that the
//! network is on.

use super::device_rows::DeviceRows;
use super::places::Places;
use super::whole::Whole;
use crate::bounds::{SingularVectors, Start, layout_of};
use crate::compute::element::Host;
use crate::compute::gpu;
use crate::compute::layout::{Layout, memory};
use crate::compute::unwritten::{fill, unwritten, written};
use crate::nn::Layer;
use candle_core::{DType, Device, Result, Tensor, WithDType};
use half::f16;
use rayon::prelude::*;
use std::io::Write;
use std::ops::Range;

/// Numbers that are written at a time.
const PIECE: usize = 1 << 16;

/// A long row of numbers.
#[derive(Debug)]
pub enum Buffer {
    F16(Vec<f16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Device(DeviceRows),
}

impl Buffer {
    /// `count` rows, each a sample of the input of `layer`, on `device` where it has kernels for them.
    pub fn zeros(dtype: DType, count: usize, layer: &Layer, device: &Device) -> Result<Self> {
        if gpu::on(device) {
            return Ok(Self::Device(DeviceRows::zeros(dtype, count, &layer.input, layout_of(layer), device)?));
        }
        Ok(Self::in_main_memory(dtype, count * layer.input_len()))
    }

    fn in_main_memory(dtype: DType, n: usize) -> Self {
        match dtype {
            DType::F16 => Self::F16(vec![f16::ZERO; n]),
            DType::F64 => Self::F64(vec![0.0; n]),
            _ => Self::F32(vec![0.0; n]),
        }
    }

    /// The number type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F16(_) => DType::F16,
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::Device(rows) => rows.dtype(),
        }
    }

    /// The numbers of some rows of `n`, little-endian, a piece at a time.
    pub fn write(&self, rows: Range<usize>, n: usize, out: &mut dyn Write) -> std::io::Result<()> {
        fn pieces<T: Copy, const N: usize>(
            v: &[T],
            out: &mut dyn Write,
            bytes: impl Fn(T) -> [u8; N],
        ) -> std::io::Result<()> {
            let mut buffer = Vec::with_capacity(PIECE * N);
            v.chunks(PIECE).try_for_each(|piece| {
                buffer.clear();
                piece.iter().for_each(|x| buffer.extend(bytes(*x)));
                out.write_all(&buffer)
            })
        }
        let own = rows.start * n..rows.end * n;
        match self {
            Self::F16(v) => pieces(&v[own], out, f16::to_le_bytes),
            Self::F32(v) => pieces(&v[own], out, f32::to_le_bytes),
            Self::F64(v) => pieces(&v[own], out, f64::to_le_bytes),
            Self::Device(v) => v.write(rows, out).map_err(std::io::Error::other),
        }
    }

    /// Replace the numbers of some rows of `n` by those that [`Self::write`] wrote, as many of them.
    pub fn read(&mut self, rows: Range<usize>, n: usize, bytes: &[u8]) -> Result<()> {
        fn all<T, const N: usize>(v: &mut [T], bytes: &[u8], number: impl Fn([u8; N]) -> T) {
            let (numbers, _) = bytes.as_chunks::<N>();
            v.iter_mut().zip(numbers).for_each(|(x, bytes)| *x = number(*bytes));
        }
        let own = rows.start * n..rows.end * n;
        match self {
            Self::F16(v) => all(&mut v[own], bytes, f16::from_le_bytes),
            Self::F32(v) => all(&mut v[own], bytes, f32::from_le_bytes),
            Self::F64(v) => all(&mut v[own], bytes, f64::from_le_bytes),
            Self::Device(v) => v.read(rows, bytes)?,
        }
        Ok(())
    }

    /// Draw the `n` numbers of the rows of `images`, each of them once: `draw` gives those of an image, one by one.
    pub fn fill<D: FnMut() -> f64>(&mut self, images: &[u32], n: usize, draw: impl Fn(u32) -> D + Sync) -> Result<()> {
        /// The rows, several images at once. f16 comes by way of f32, on every device.
        fn rows<T: Copy + Send + Sync, D: FnMut() -> f64>(
            images: &[u32],
            n: usize,
            draw: impl Fn(u32) -> D + Sync,
            number: impl Fn(f64) -> T + Sync,
            place_of: impl Fn(usize) -> usize + Sync,
        ) -> Vec<T> {
            let mut rows = unwritten(images.len() * n);
            rows.par_chunks_mut(n.max(1)).zip(images).for_each(|(room, image)| {
                let mut own = draw(*image);
                (0..n).for_each(|i| {
                    room[place_of(i)].write(number(own()));
                });
            });
            // SAFETY: every row has been filled: its places are all different.
            unsafe { written(rows) }
        }
        let as_is = |i| i;
        let half = |x: f64| f16::from_f32(x as f32);
        match self {
            Self::F16(v) => place(v, images, n, &rows(images, n, draw, half, as_is)),
            Self::F32(v) => place(v, images, n, &rows(images, n, draw, |x| x as f32, as_is)),
            Self::F64(v) => place(v, images, n, &rows(images, n, draw, |x| x, as_is)),
            Self::Device(v) => {
                let (shape, at) = ((images.len(), n), |i| v.place_of(i));
                let made = match v.dtype() {
                    DType::F16 => Tensor::from_vec(rows(images, n, draw, half, at), shape, &Device::Cpu),
                    DType::F64 => Tensor::from_vec(rows(images, n, draw, |x| x, at), shape, &Device::Cpu),
                    _ => Tensor::from_vec(rows(images, n, draw, |x| x as f32, at), shape, &Device::Cpu),
                };
                v.place(images, &made?)?;
            }
        }
        Ok(())
    }

    /// The layout of the rows.
    pub fn layout(&self) -> Layout {
        match self {
            Self::F16(_) | Self::F32(_) | Self::F64(_) => Layout::Nchw,
            Self::Device(rows) => rows.layout(),
        }
    }

    /// The rows of `places`, `[images, ...]` with samples of this shape, in numbers of `dtype` on `device`, masked by `mask` where they
    /// lie on a device with kernels; behind them `whole` `[1, ...]`, of this type and in the layout of the rows, which no mask is for.
    /// Where f16 is asked for, `whole` is f32, and so are rows that lie in main memory.
    pub fn gather(
        &self,
        places: &Places,
        shape: &[usize],
        dtype: DType,
        device: &Device,
        mask: Option<&Tensor>,
        whole: Option<&Tensor>,
    ) -> Result<Start> {
        if let Self::Device(v) = self {
            let mask = mask.map(|mask| memory(mask, v.layout())).transpose()?;
            let u = v.gather(places, dtype, mask.as_ref(), whole)?;
            return Ok(Start { u: u.to_device(device)?, layout: v.layout(), is_masked: mask.is_some() });
        }
        let whole = whole.map(|whole| whole.to_device(&Device::Cpu)).transpose()?;
        let u = match dtype {
            DType::F64 => self.rows(places.images(), shape, whole.as_ref(), |x| x)?,
            _ => self.rows(places.images(), shape, whole.as_ref(), |x| x as f32)?,
        };
        Ok(Start::of(&u.to_device(device)?))
    }

    /// Rows in main memory, with `whole` behind them.
    fn rows<O: WithDType>(
        &self,
        images: &[u32],
        shape: &[usize],
        whole: Option<&Tensor>,
        number: impl Fn(f64) -> O + Sync,
    ) -> Result<Tensor> {
        let n = shape.iter().product::<usize>();
        let count = images.len() + usize::from(whole.is_some());
        let last = whole.map(|whole| whole.flatten_all()?.to_vec1::<O>()).transpose()?;
        let mut flat = unwritten(count * n);
        flat.par_chunks_mut(n.max(1)).enumerate().for_each(|(at, room)| {
            let Some(image) = images.get(at) else {
                fill(room, |i| last.as_ref().map_or_else(O::zero, |last| last[i]));
                return;
            };
            let own = *image as usize * n..(*image as usize + 1) * n;
            match self {
                Self::F16(v) => fill(room, |i| number(f64::from(f32::from(v[own.start + i])))),
                Self::F32(v) => fill(room, |i| number(f64::from(v[own.start + i]))),
                Self::F64(v) => fill(room, |i| number(v[own.start + i])),
                Self::Device(_) => unreachable!("rows in main memory"),
            };
        });
        // SAFETY: every row has been filled.
        Tensor::from_vec(unsafe { written(flat) }, [&[count], shape].concat(), &Device::Cpu)
    }

    /// Replace the rows of `places` by unit vectors; where they lie on a device with kernels, also `into` by its own.
    pub fn scatter(
        &mut self,
        places: &Places,
        n: usize,
        u: &SingularVectors,
        into: Option<(&SingularVectors, &Whole)>,
    ) -> Result<()> {
        fn rows<T: WithDType>(v: &mut [T], images: &[u32], n: usize, u: &Tensor) -> Result<()> {
            let u = u.to_device(&Device::Cpu)?.to_dtype(T::DTYPE)?.contiguous()?;
            place(v, images, n, Host::of(&u).slice::<T>()?);
            Ok(())
        }
        let images = places.images();
        match self {
            Self::F16(v) => rows(v, images, n, &u.unit()?),
            Self::F32(v) => rows(v, images, n, &u.unit()?),
            Self::F64(v) => rows(v, images, n, &u.unit()?),
            Self::Device(v) => {
                let (layout, own) = (v.layout(), u.unscaled(v.layout())?);
                let whole = into.map(|(whole, kept)| Ok::<_, candle_core::Error>((whole.unscaled(layout)?, kept)));
                v.scatter(
                    places,
                    (&own.0, own.1),
                    whole.transpose()?.as_ref().map(|(own, kept)| ((&own.0, own.1), kept.numbers())),
                )
            }
        }
    }
}

/// Put `values` into the rows of `images`; of an image that comes twice, the last counts.
fn place<T: Copy + Send + Sync>(v: &mut [T], images: &[u32], n: usize, values: &[T]) {
    // In the order of the images in memory, each row is one task's.
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by_key(|at| (images[*at], std::cmp::Reverse(*at)));
    order.dedup_by_key(|at| images[*at]);
    let mut rows = vec![];
    let (mut rest, mut passed) = (v, 0);
    for at in order {
        let from = images[at] as usize * n;
        let (row, others) = rest.split_at_mut(from - passed).1.split_at_mut(n);
        rows.push((row, &values[at * n..][..n]));
        (rest, passed) = (others, from + n);
    }
    rows.into_par_iter().for_each(|(row, values)| row.copy_from_slice(values));
}
