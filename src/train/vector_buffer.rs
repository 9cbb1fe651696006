//! The numbers of a store of vectors, on the host, in the number type that was asked for.

use crate::compute::element::Host;
use crate::compute::unwritten::{fill, unwritten, written};
use candle_core::{DType, Device, Result, Tensor, WithDType};
use half::f16;
use rayon::prelude::*;
use std::io::Write;

/// Numbers that are written at a time.
const PIECE: usize = 1 << 16;

/// A long row of numbers.
#[derive(Debug)]
pub enum Buffer {
    F16(Vec<f16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Buffer {
    /// Room for `n` numbers.
    pub fn zeros(dtype: DType, n: usize) -> Self {
        match dtype {
            DType::F16 => Self::F16(vec![f16::ZERO; n]),
            DType::F64 => Self::F64(vec![0.0; n]),
            _ => Self::F32(vec![0.0; n]),
        }
    }

    /// Memory taken.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F16(v) => v.len() * 2,
            Self::F32(v) => v.len() * 4,
            Self::F64(v) => v.len() * 8,
        }
    }

    /// The number type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F16(_) => DType::F16,
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
        }
    }

    /// All numbers, little-endian, a piece at a time.
    pub fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
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
        match self {
            Self::F16(v) => pieces(v, out, f16::to_le_bytes),
            Self::F32(v) => pieces(v, out, f32::to_le_bytes),
            Self::F64(v) => pieces(v, out, f64::to_le_bytes),
        }
    }

    /// Replace all numbers by those that [`Self::write`] wrote; there must be as many bytes as [`Self::bytes`].
    pub fn read(&mut self, bytes: &[u8]) {
        fn all<T, const N: usize>(v: &mut [T], bytes: &[u8], number: impl Fn([u8; N]) -> T) {
            let (numbers, _) = bytes.as_chunks::<N>();
            v.iter_mut().zip(numbers).for_each(|(x, bytes)| *x = number(*bytes));
        }
        match self {
            Self::F16(v) => all(v, bytes, f16::from_le_bytes),
            Self::F32(v) => all(v, bytes, f32::from_le_bytes),
            Self::F64(v) => all(v, bytes, f64::from_le_bytes),
        }
    }

    /// Draw `n` numbers from place `at` on.
    pub fn fill(&mut self, at: usize, n: usize, mut draw: impl FnMut() -> f64) {
        match self {
            Self::F16(v) => v[at..at + n].iter_mut().for_each(|x| *x = f16::from_f64(draw())),
            Self::F32(v) => v[at..at + n].iter_mut().for_each(|x| *x = draw() as f32),
            Self::F64(v) => v[at..at + n].iter_mut().for_each(|x| *x = draw()),
        }
    }

    /// The rows of `images`, `n` numbers each, as a tensor of this shape on the host.
    pub fn gather(&self, images: &[u32], n: usize, shape: &[usize]) -> Result<Tensor> {
        fn rows<T: WithDType>(v: &[T], images: &[u32], n: usize, shape: &[usize]) -> Result<Tensor> {
            let mut flat = unwritten(images.len() * n);
            flat.par_chunks_mut(n.max(1)).zip(images).for_each(|(room, i)| {
                let row = &v[*i as usize * n..][..n];
                fill(room, |at| row[at]);
            });
            // SAFETY: every row has been filled.
            Tensor::from_vec(unsafe { written(flat) }, shape, &Device::Cpu)
        }
        match self {
            Self::F16(v) => rows(v, images, n, shape),
            Self::F32(v) => rows(v, images, n, shape),
            Self::F64(v) => rows(v, images, n, shape),
        }
    }

    /// Replace the rows of `images`.
    pub fn scatter(&mut self, images: &[u32], n: usize, u: &Tensor) -> Result<()> {
        fn rows<T: WithDType>(v: &mut [T], images: &[u32], n: usize, u: &Tensor) -> Result<()> {
            let u = u.to_device(&Device::Cpu)?.to_dtype(T::DTYPE)?.contiguous()?;
            let u = Host::of(&u);
            let values = u.slice::<T>()?;
            // In the order of the images in memory, the last one where an image comes twice, each row is one task's.
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
            Ok(())
        }
        match self {
            Self::F16(v) => rows(v, images, n, u),
            Self::F32(v) => rows(v, images, n, u),
            Self::F64(v) => rows(v, images, n, u),
        }
    }
}
