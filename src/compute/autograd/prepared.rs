//! An operation in candle's graph whose value was there before: it hangs on its three arguments by its gradient alone.

use candle_core::{CpuStorage, CudaStorage, CustomOp3, Layout, Result, Shape, Tensor};

/// The gradient of each argument, as far as one is wanted.
pub type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// What such an operation gives.
pub trait Prepared: Send + Sync {
    /// For messages.
    fn name(&self) -> &'static str;
    /// The value, where the arguments lie in main memory.
    fn cpu(&self) -> Result<(CpuStorage, Shape)>;
    /// The value, where they lie on a CUDA device.
    fn cuda(&self) -> Result<(CudaStorage, Shape)>;
    /// The gradients of the arguments from that of the value.
    fn backward(&self, arguments: [&Tensor; 3], g: &Tensor) -> Result<Gradients>;
}

/// One of them as candle takes it.
pub struct Operation<T>(pub T);

impl<T: Prepared> CustomOp3 for Operation<T> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.0.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.0.cuda()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, _: &Tensor, g: &Tensor) -> Result<Gradients> {
        self.0.backward([a, b, c], g)
    }
}
