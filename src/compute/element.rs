//! The number types our own CPU kernels run on, and access to a tensor's storage as one contiguous slice.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, WithDType, bail};
use std::mem::MaybeUninit;

/// f32 or f64: everything a kernel needs of a number beyond candle's own trait.
pub trait Element: WithDType + Default + std::ops::Neg<Output = Self> {
    const ZERO: Self;
    const ONE: Self;
    /// The nearest number of this type.
    fn of(value: f64) -> Self;
    /// As f64, exactly.
    fn wide(self) -> f64;
    /// The square root.
    fn root(self) -> Self;
    /// A storage's numbers, where they are of this type, to be changed.
    fn of_storage(storage: &mut CpuStorage) -> Option<&mut [Self]>;
    /// The same numbers where they are f32, for kernels that know only these.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;
    /// The same, to be changed.
    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]>;
    /// The same, before anything is written.
    fn as_f32_room(values: &mut [MaybeUninit<Self>]) -> Option<&mut [MaybeUninit<f32>]>;
    /// The other way.
    fn from_f32(values: Vec<f32>) -> Option<Vec<Self>>;
}

impl Element for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    fn of(value: f64) -> f32 {
        value as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn root(self) -> f32 {
        self.sqrt()
    }
    fn of_storage(storage: &mut CpuStorage) -> Option<&mut [f32]> {
        match storage {
            CpuStorage::F32(values) => Some(values),
            _ => None,
        }
    }
    fn as_f32(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
    fn as_f32_mut(values: &mut [f32]) -> Option<&mut [f32]> {
        Some(values)
    }
    fn as_f32_room(values: &mut [MaybeUninit<f32>]) -> Option<&mut [MaybeUninit<f32>]> {
        Some(values)
    }
    fn from_f32(values: Vec<f32>) -> Option<Vec<f32>> {
        Some(values)
    }
}

impl Element for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    fn of(value: f64) -> f64 {
        value
    }
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn root(self) -> f64 {
        self.sqrt()
    }
    fn of_storage(storage: &mut CpuStorage) -> Option<&mut [f64]> {
        match storage {
            CpuStorage::F64(values) => Some(values),
            _ => None,
        }
    }
    fn as_f32(_: &[f64]) -> Option<&[f32]> {
        None
    }
    fn as_f32_mut(_: &mut [f64]) -> Option<&mut [f32]> {
        None
    }
    fn as_f32_room(_: &mut [MaybeUninit<f64>]) -> Option<&mut [MaybeUninit<f32>]> {
        None
    }
    fn from_f32(_: Vec<f32>) -> Option<Vec<f64>> {
        None
    }
}

/// The elements that `layout` covers, which must be contiguous (the public functions see to it).
pub fn slice<'a, T: Element>(op: &'static str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let all = storage.as_slice::<T>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&all[from..to]),
        None => bail!("{op}: the argument must be contiguous"),
    }
}

/// A tensor's numbers on the host, to be read in place.
pub struct Host<'a> {
    /// candle's lock on it; its type has no name here.
    storage: Box<dyn std::ops::Deref<Target = Storage> + 'a>,
    layout: &'a Layout,
}

impl<'a> Host<'a> {
    pub fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage: Box::new(storage), layout }
    }

    /// All elements, which must be contiguous, of this type, and on the CPU.
    pub fn slice<T: WithDType>(&self) -> Result<&[T]> {
        match (&**self.storage, self.layout.contiguous_offsets()) {
            (Storage::Cpu(storage), Some((from, to))) => Ok(&storage.as_slice::<T>()?[from..to]),
            _ => bail!("a contiguous tensor on the CPU is wanted"),
        }
    }
}

/// Run `$body` with `$T` standing for the element type of `$storage`; other types are an error that names the op.
macro_rules! for_float {
    ($op:expr, $storage:expr, $T:ident => $body:expr) => {
        match $storage {
            candle_core::CpuStorage::F32(_) => {
                type $T = f32;
                $body
            }
            candle_core::CpuStorage::F64(_) => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!(
                "{}: dtype {:?} is not supported; use f32 or f64",
                $op,
                candle_core::backend::BackendStorage::dtype(other)
            ),
        }
    };
}
pub(crate) use for_float;

/// The same by a number type.
macro_rules! for_dtype {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("{}: dtype {other:?} is not supported; use f32 or f64", $op),
        }
    };
}
pub(crate) use for_dtype;
