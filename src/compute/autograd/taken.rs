//! A tensor's storage on its way into candle's graph, without a copy.

use candle_core::{CpuStorage, CudaStorage, InplaceOp1, Layout, Result, Tensor, bail};
use std::sync::{Mutex, PoisonError};

/// The storage on its way from one place to the other.
#[derive(Default)]
pub struct Taken {
    cpu: Mutex<Option<CpuStorage>>,
    cuda: Mutex<Option<CudaStorage>>,
}

fn put<S>(place: &Mutex<Option<S>>, storage: S) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(storage);
}

fn take<S>(place: &Mutex<Option<S>>) -> Result<S> {
    match place.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(storage) => Ok(storage),
        None => bail!("a value lies on another device than its graph"),
    }
}

impl Taken {
    /// That of `value`, which nobody else may hold.
    pub fn of(value: &Tensor) -> Result<Self> {
        let taken = Self::default();
        value.inplace_op1(&taken)?;
        Ok(taken)
    }

    pub fn cpu(&self) -> Result<CpuStorage> {
        take(&self.cpu)
    }

    pub fn cuda(&self) -> Result<CudaStorage> {
        take(&self.cuda)
    }
}

impl InplaceOp1 for Taken {
    fn name(&self) -> &'static str {
        "take"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        put(&self.cpu, std::mem::replace(storage, CpuStorage::U8(vec![])));
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &mut CudaStorage, _: &Layout) -> Result<()> {
        let nothing = crate::compute::gpu::cuda::nothing(storage)?;
        put(&self.cuda, std::mem::replace(storage, nothing));
        Ok(())
    }
}
