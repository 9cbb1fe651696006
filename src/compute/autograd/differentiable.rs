//! A value that a kernel has computed, as part of candle's graph.
//!
//! candle makes a graph's node out of a custom operation only, which makes the storage of its result. Here the result is
//! there already; the operation hands over its storage, without a copy.

use super::prepared::{Gradients, Operation, Prepared};
use candle_core::{CpuStorage, CudaStorage, InplaceOp1, Layout, Result, Shape, Tensor, bail};
use std::sync::{Mutex, PoisonError};

type Backward = Box<dyn Fn(&Tensor, [bool; 3]) -> Result<Gradients> + Send + Sync>;

/// `value` as a function of `args`; `backward` gets the value's gradient, contiguous, and which arguments' gradients are
/// wanted. Nobody else may hold `value`: its storage moves into the graph. Give an argument twice where there are fewer.
pub fn differentiable(
    name: &'static str,
    value: Tensor,
    [a, b, c]: [&Tensor; 3],
    backward: impl Fn(&Tensor, [bool; 3]) -> Result<Gradients> + Send + Sync + 'static,
) -> Result<Tensor> {
    if ![a, b, c].iter().any(|arg| arg.track_op()) {
        return Ok(value);
    }
    let shape = value.shape().clone();
    let taken = Taken::default();
    value.inplace_op1(&taken)?;
    a.apply_op3(b, c, Operation(Given { name, shape, value: taken, backward: Box::new(backward) }))
}

/// The storage on its way from one place to the other.
#[derive(Default)]
struct Taken {
    cpu: Mutex<Option<CpuStorage>>,
    cuda: Mutex<Option<CudaStorage>>,
}

fn put<S>(place: &Mutex<Option<S>>, storage: S) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(storage);
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

struct Given {
    name: &'static str,
    shape: Shape,
    value: Taken,
    backward: Backward,
}

impl Given {
    fn take<S>(&self, place: &Mutex<Option<S>>) -> Result<(S, Shape)> {
        match place.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(storage) => Ok((storage, self.shape.clone())),
            None => bail!("{}: its arguments live on different devices", self.name),
        }
    }
}

impl Prepared for Given {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        self.take(&self.value.cpu)
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        self.take(&self.value.cuda)
    }

    fn backward(&self, arguments: [&Tensor; 3], g: &Tensor) -> Result<Gradients> {
        let wanted = arguments.map(|arg| arg.is_variable() || arg.track_op());
        (self.backward)(&g.contiguous()?, wanted)
    }
}
