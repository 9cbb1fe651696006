//! An array as it was stored: its shape and its numbers, in C order and little-endian, of whatever type the file has.

use crate::base::interrupt;
use candle_core::{Device, Error, Result, Tensor};
use half::f16;
use std::io::Read;

/// The types of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

impl Kind {
    /// Bytes of one number.
    pub fn width(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Are its numbers whole?
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::F16 | Self::F32 | Self::F64)
    }
}

/// What a file's header says: how its numbers are stored, and how many there are along each axis.
#[derive(Debug, Clone)]
pub struct Layout {
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub is_big_endian: bool,
    /// Does the first axis run fastest?
    pub is_fortran: bool,
}

impl Layout {
    /// Bytes of all numbers; nothing where that is beyond what can be counted.
    pub fn bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.kind.width(), |n, d| n.checked_mul(*d))
    }

    /// The numbers, which `reader` holds from here to its end.
    pub fn read(self, reader: &mut dyn Read) -> std::result::Result<Array, String> {
        let length = self.bytes().ok_or_else(|| format!("its shape {:?} is beyond any file", self.shape))?;
        let mut bytes = Vec::new();
        while bytes.len() < length {
            if interrupt::requested() {
                return Err(interrupt::MESSAGE.into());
            }
            // Memory grows with what is there, whatever the header says.
            let part = (length - bytes.len()).min(1 << 20) as u64;
            if (&mut *reader).take(part).read_to_end(&mut bytes).map_err(|e| e.to_string())? == 0 {
                return Err(format!("cut off: {} bytes of numbers, expected {length}", bytes.len()));
            }
        }
        // Packed files tell only at their end whether their checksum is right.
        if reader.read(&mut [0]).map_err(|e| e.to_string())? > 0 {
            return Err("more follows than its header says".into());
        }
        if self.is_big_endian {
            bytes.chunks_exact_mut(self.kind.width()).for_each(<[u8]>::reverse);
        }
        let mut array = Array { kind: self.kind, shape: self.shape, bytes };
        if self.is_fortran && array.shape.len() > 1 {
            let reversed: Vec<usize> = (0..array.shape.len()).rev().collect();
            array.shape.reverse();
            array = array.permuted(&reversed);
        }
        Ok(array)
    }
}

/// An array in C order.
#[derive(Debug, Clone)]
pub struct Array {
    pub kind: Kind,
    pub shape: Vec<usize>,
    /// Little-endian.
    pub bytes: Vec<u8>,
}

impl Array {
    /// The same numbers with their axes in the order of `axes`.
    pub fn permuted(self, axes: &[usize]) -> Self {
        let (rank, width) = (self.shape.len(), self.kind.width());
        let mut strides = vec![width; rank];
        (0..rank.saturating_sub(1)).rev().for_each(|a| strides[a] = strides[a + 1] * self.shape[a + 1]);
        let shape: Vec<usize> = axes.iter().map(|a| self.shape[*a]).collect();
        let steps: Vec<usize> = axes.iter().map(|a| strides[*a]).collect();
        let (mut out, mut place, mut at) = (Vec::with_capacity(self.bytes.len()), vec![0; rank], 0);
        for _ in 0..self.bytes.len() / width {
            out.extend_from_slice(&self.bytes[at..at + width]);
            for axis in (0..rank).rev() {
                (place[axis], at) = (place[axis] + 1, at + steps[axis]);
                if place[axis] < shape[axis] {
                    break;
                }
                (place[axis], at) = (0, at - shape[axis] * steps[axis]);
            }
        }
        Self { kind: self.kind, shape, bytes: out }
    }

    /// Whole numbers one after the other; nothing where they are not whole by type.
    pub fn whole(&self) -> Option<Box<dyn Iterator<Item = i128> + '_>> {
        macro_rules! read {
            ($number:ty) => {
                Box::new(numbers(&self.bytes, <$number>::from_le_bytes).map(i128::from))
            };
        }
        Some(match self.kind {
            Kind::Bool | Kind::U8 => read!(u8),
            Kind::I8 => read!(i8),
            Kind::U16 => read!(u16),
            Kind::I16 => read!(i16),
            Kind::U32 => read!(u32),
            Kind::I32 => read!(i32),
            Kind::U64 => read!(u64),
            Kind::I64 => read!(i64),
            Kind::F16 | Kind::F32 | Kind::F64 => return None,
        })
    }

    /// Each number as f64. Whole numbers beyond 2^53 are rounded.
    pub fn floats(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self.kind {
            Kind::F16 => Box::new(numbers(&self.bytes, f16::from_le_bytes).map(f64::from)),
            Kind::F32 => Box::new(numbers(&self.bytes, f32::from_le_bytes).map(f64::from)),
            Kind::F64 => Box::new(numbers(&self.bytes, f64::from_le_bytes)),
            _ => Box::new(self.whole().into_iter().flatten().map(|n| n as f64)),
        }
    }

    /// As a tensor of the same type, or, where there is none, of the next that holds every number.
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        macro_rules! of {
            ($number:ty) => {
                Tensor::from_vec(
                    numbers(&self.bytes, <$number>::from_le_bytes).collect::<Vec<_>>(),
                    &*self.shape,
                    &Device::Cpu,
                )
            };
        }
        let made = match self.kind {
            Kind::Bool | Kind::U8 => of!(u8),
            Kind::I16 => of!(i16),
            Kind::U32 => of!(u32),
            Kind::I32 => of!(i32),
            Kind::I64 => of!(i64),
            Kind::F16 => of!(f16),
            Kind::F32 => of!(f32),
            Kind::F64 => of!(f64),
            Kind::I8 => {
                let wide = numbers(&self.bytes, i8::from_le_bytes).map(i16::from).collect::<Vec<_>>();
                Tensor::from_vec(wide, &*self.shape, &Device::Cpu)
            }
            Kind::U16 => {
                let wide = numbers(&self.bytes, u16::from_le_bytes).map(u32::from).collect::<Vec<_>>();
                Tensor::from_vec(wide, &*self.shape, &Device::Cpu)
            }
            Kind::U64 => {
                let narrow = numbers(&self.bytes, u64::from_le_bytes).map(|n| {
                    i64::try_from(n).map_err(|_| Error::Msg(format!("{n} is beyond i64, the widest type of tensors")))
                });
                Tensor::from_vec(narrow.collect::<Result<Vec<_>>>()?, &*self.shape, &Device::Cpu)
            }
        };
        made?.to_device(device)
    }
}

/// The numbers in `bytes`.
fn numbers<const N: usize, T: 'static>(bytes: &[u8], read: fn([u8; N]) -> T) -> impl Iterator<Item = T> + '_ {
    bytes.as_chunks::<N>().0.iter().map(move |b| read(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_change_places() {
        let array = Array { kind: Kind::U16, shape: vec![2, 3], bytes: (0..12).collect() };
        let turned = array.permuted(&[1, 0]);
        assert_eq!((turned.shape, turned.bytes), (vec![3, 2], vec![0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]));
        let empty = Array { kind: Kind::U8, shape: vec![0, 3], bytes: vec![] };
        assert_eq!(empty.permuted(&[1, 0]).shape, [3, 0]);
    }
}
