//! An adjoint of the convolution written into a part of a larger tensor, so that several of them need not be copied together

use super::conv::Window;
use super::conv_cpu as cpu;
#[cfg(feature = "cuda")]
use super::cuda::conv::{View, run_into};
use super::element::{Element, for_float, slice};
use super::geometry::Geometry;
#[cfg(feature = "cuda")]
use super::order::Order;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor, bail};

/// [`super::conv::conv2d_input`] into `to` `[B,I,H,W]`, contiguous. No gradient; on the CPU and where [`super::kernels::serve`].
pub fn conv2d_input_into(y: &Tensor, w: &Tensor, window: Window, to: &Tensor) -> Result<()> {
    to.inplace_op3(&y.contiguous()?, &w.contiguous()?, &InputInto { window })
}

struct InputInto {
    window: Window,
}

impl InputInto {
    fn geometry(&self, to: &Layout, y: &Layout, w: &Layout) -> Result<Geometry> {
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
        lt: &Layout,
        y: &CpuStorage,
        ly: &Layout,
        w: &CpuStorage,
        lw: &Layout,
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
        lt: &Layout,
        y: &CudaStorage,
        ly: &Layout,
        w: &CudaStorage,
        lw: &Layout,
    ) -> Result<()> {
        let g = self.geometry(lt, ly, lw)?;
        run_into(View::Input, Order::Planes, &g, (y, ly), (w, lw), (to, lt))
    }
}
