//! A value that is already known, with a gradient that is known too.
//!
//! The spectral norm's gradient is the envelope: with the singular vectors u, v held constant,
//! `d sigma_b = v_b . dW u_b`. Its value comes out of the power iteration, so the forward pass only hands it on.

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor};

type Gradient = Box<dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync>;

/// `value` as a function of `arg`, whose gradient is `gradient(gradient of the value)`.
pub fn with_gradient(
    name: &'static str,
    arg: &Tensor,
    value: &Tensor,
    gradient: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !arg.track_op() {
        return Ok(value.detach());
    }
    arg.apply_op1(Known { name, value: value.detach().force_contiguous()?, gradient: Box::new(gradient) })
}

struct Known {
    name: &'static str,
    value: Tensor,
    gradient: Gradient,
}

impl CustomOp1 for Known {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let (storage, layout) = self.value.storage_and_layout();
        match storage.try_clone(layout)? {
            Storage::Cpu(copy) => Ok((copy, layout.shape().clone())),
            _ => candle_core::bail!("{}: the value and its argument live on different devices", self.name),
        }
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let (storage, layout) = self.value.storage_and_layout();
        match storage.try_clone(layout)? {
            Storage::Cuda(copy) => Ok((copy, layout.shape().clone())),
            _ => candle_core::bail!("{}: the value and its argument live on different devices", self.name),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        (self.gradient)(g).map(Some)
    }
}
