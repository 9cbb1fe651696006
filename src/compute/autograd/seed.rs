//! Where candle's walk begins in the middle of its graph, with a gradient that is there.

use super::taken::Taken;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// A tensor of one zero that depends on `t`, whose gradient is `g` whatever its own is.
pub fn seeded(t: &Tensor, g: Tensor) -> Result<Tensor> {
    let zero = Tensor::zeros(1, t.dtype(), t.device())?;
    t.apply_op1(Seed { g, value: Taken::of(&zero)? })
}

struct Seed {
    g: Tensor,
    value: Taken,
}

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((self.value.cpu()?, Shape::from(1)))
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((self.value.cuda()?, Shape::from(1)))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.g.clone()))
    }
}
