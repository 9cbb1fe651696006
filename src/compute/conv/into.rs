//! An adjoint of the convolution written into a part of a larger tensor, so that several of them need not be copied together

use super::Window;
use super::cpu;
#[cfg(feature = "cuda")]
use super::cuda::run::{View, run_into};
use super::geometry::Geometry;
use crate::compute::element::{Element, for_float, slice};
#[cfg(feature = "cuda")]
use crate::compute::layout::Layout;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, InplaceOp3, Layout as Strides, Result, Tensor, bail};

/// [`crate::compute::conv::conv2d_input`] into `to` `[B,I,H,W]`, contiguous. No gradient; on the CPU and where
/// [`crate::compute::gpu::has_kernel`].
pub fn conv2d_input_into(y: &Tensor, w: &Tensor, window: Window, to: &Tensor) -> Result<()> {
    to.inplace_op3(&y.contiguous()?, &w.contiguous()?, &InputInto { window })
}

struct InputInto {
    window: Window,
}

impl InputInto {
    fn geometry(&self, to: &Strides, y: &Strides, w: &Strides) -> Result<Geometry> {
        let g = Geometry::new("conv2d_input", to.shape().dims4()?, w.shape().dims4()?, self.window)?;
        g.expect_output("conv2d_input", y.shape().dims())?;
        Ok(g)
    }
}

impl InplaceOp3 for InputInto {
    fn name(&self) -> &'static str {
        "conv2d_input"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        lt: &Strides,
        y: &CpuStorage,
        ly: &Strides,
        w: &CpuStorage,
        lw: &Strides,
    ) -> Result<()> {
        let (op, g) = (self.name(), self.geometry(lt, ly, lw)?);
        for_float!(op, y, T => {
            let x = cpu::input::<T>(&g, slice(op, y, ly)?, slice(op, w, lw)?);
            match (T::of_storage(to), lt.contiguous_offsets()) {
                (Some(all), Some((from, end))) => all[from..end].copy_from_slice(&x),
                _ => bail!("{op}: a contiguous result of the same number type is wanted"),
            }
            Ok(())
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        to: &mut CudaStorage,
        lt: &Strides,
        y: &CudaStorage,
        ly: &Strides,
        w: &CudaStorage,
        lw: &Strides,
    ) -> Result<()> {
        let g = self.geometry(lt, ly, lw)?;
        run_into(View::Input, Layout::Nchw, &g, (y, ly), (w, lw), (to, lt))
    }
}
