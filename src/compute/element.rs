//! The number types our own CPU kernels run on, and access to a tensor's storage as one contiguous slice.

use candle_core::{CpuStorage, Layout, Result, WithDType, bail};

/// f32 or f64: everything a kernel needs of a number beyond candle's own trait.
pub trait Element: WithDType + Default + std::ops::Neg<Output = Self> {
    const ZERO: Self;
    const ONE: Self;
    /// The nearest number of this type.
    fn of(value: f64) -> Self;
    /// As f64, exactly.
    fn wide(self) -> f64;
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
}

/// The elements that `layout` covers, which must be contiguous (the public functions see to it).
pub fn slice<'a, T: Element>(op: &'static str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let all = storage.as_slice::<T>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&all[from..to]),
        None => bail!("{op}: the argument must be contiguous"),
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
