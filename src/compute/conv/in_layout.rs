//! The convolution and its two adjoints on memory in either [`Layout`], for what stays on a GPU between layers. No gradients.
//!
//! x is `[B, I, H, W]` or `[B, H, W, I]`, w `[O, I, KH, KW]` or `[O, KH, KW, I]`, y as x; all contiguous, and so are the results.

use super::geometry::{Geometry, Window};
use super::into::conv2d_input_into;
use super::{conv2d, conv2d_input, conv2d_weight};
use crate::compute::layout::{Layout, turned};
use candle_core::{Result, Tensor, bail};

/// `w x`.
pub fn forward(layout: Layout, x: &Tensor, w: &Tensor, window: Window) -> Result<Tensor> {
    let (x, w) = (x.detach(), w.detach());
    if layout == Layout::Nchw {
        return conv2d(&x, &w, window);
    }
    let g = Geometry::new("conv2d", channels_first(x.dims())?, channels_first(w.dims())?, window)?;
    if let Some(y) = device::run(device::View::Forward, &g, &x, &w)? {
        return Ok(y);
    }
    turned(&conv2d(&in_planes(&x)?, &in_planes(&w)?, window)?, Layout::Nchw, Layout::Nhwc)
}

/// `w^T y`, `size` = (H, W).
pub fn input(layout: Layout, y: &Tensor, w: &Tensor, window: Window, size: (usize, usize)) -> Result<Tensor> {
    let (y, w) = (y.detach(), w.detach());
    if layout == Layout::Nchw {
        return conv2d_input(&y, &w, window, size);
    }
    if let Some(x) = device::run(device::View::Input, &of_input(&y, &w, window, size)?, &y, &w)? {
        return Ok(x);
    }
    turned(&conv2d_input(&in_planes(&y)?, &in_planes(&w)?, window, size)?, Layout::Nchw, Layout::Nhwc)
}

/// The same into `to`, a contiguous part of a larger tensor, say.
pub fn input_into(layout: Layout, y: &Tensor, w: &Tensor, window: Window, to: &Tensor) -> Result<()> {
    let (y, w) = (y.detach(), w.detach());
    if layout == Layout::Nchw {
        return conv2d_input_into(&y, &w, window, to);
    }
    let &[_, h, width, _] = to.dims() else { bail!("conv2d_input: a result of shape {:?}", to.dims()) };
    if device::input_into(&of_input(&y, &w, window, (h, width))?, &y, &w, to)? {
        return Ok(());
    }
    to.slice_set(&input(layout, &y, &w, window, (h, width))?, 0, 0)
}

/// The gradient of w, summed over the batch.
pub fn weight(layout: Layout, x: &Tensor, y: &Tensor, window: Window, kernel: (usize, usize)) -> Result<Tensor> {
    let (x, y) = (x.detach(), y.detach());
    if layout == Layout::Nchw {
        return conv2d_weight(&x, &y, window, kernel);
    }
    let from = channels_first(x.dims())?;
    let (_, outputs, ..) = channels_first(y.dims())?;
    let g = Geometry::new("conv2d_weight", from, (outputs, from.1, kernel.0, kernel.1), window)?;
    if let Some(w) = device::run(device::View::Weight, &g, &x, &y)? {
        return Ok(w);
    }
    turned(&conv2d_weight(&in_planes(&x)?, &in_planes(&y)?, window, kernel)?, Layout::Nchw, Layout::Nhwc)
}

fn in_planes(x: &Tensor) -> Result<Tensor> {
    turned(x, Layout::Nhwc, Layout::Nchw)
}

fn of_input(y: &Tensor, w: &Tensor, window: Window, (h, width): (usize, usize)) -> Result<Geometry> {
    let w = channels_first(w.dims())?;
    Geometry::new("conv2d_input", (y.dim(0)?, w.1, h, width), w, window)
}

/// `[N, H, W, C]` as N, C, H, W.
fn channels_first(dims: &[usize]) -> Result<(usize, usize, usize, usize)> {
    match *dims {
        [n, h, w, c] => Ok((n, c, h, w)),
        _ => bail!("conv2d: four axes are wanted, got {dims:?}"),
    }
}

/// Convolutions in the layout [`Layout::Nhwc`] as the device has them; where it has none they are turned and turned back.
#[cfg(not(feature = "cuda"))]
mod device {
    use crate::compute::conv::Geometry;
    use candle_core::{Result, Tensor};

    pub enum View {
        Forward,
        Input,
        Weight,
    }

    pub fn run(_: View, _: &Geometry, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }

    pub fn input_into(_: &Geometry, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<bool> {
        Ok(false)
    }
}

#[cfg(feature = "cuda")]
mod device {
    use crate::compute::conv::Geometry;
    pub use crate::compute::conv::cuda::run::View;
    use crate::compute::conv::cuda::run::{run as convolve, run_into, supports};
    use crate::compute::layout::Layout;
    use candle_core::{
        CpuStorage, CudaStorage, CustomOp2, Device, InplaceOp3, Layout as Strides, Result, Shape, Tensor, bail,
    };

    fn has(view: View, g: &Geometry, x: &Tensor) -> Result<bool> {
        match x.device() {
            Device::Cuda(device) => supports(view, Layout::Nhwc, g, x.dtype(), device),
            _ => Ok(false),
        }
    }

    pub fn run(view: View, g: &Geometry, a: &Tensor, b: &Tensor) -> Result<Option<Tensor>> {
        if !has(view, g, a)? {
            return Ok(None);
        }
        a.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &Last { view, g: *g }).map(Some)
    }

    pub fn input_into(g: &Geometry, y: &Tensor, w: &Tensor, to: &Tensor) -> Result<bool> {
        let view = View::Input;
        if !has(view, g, y)? {
            return Ok(false);
        }
        to.inplace_op3(&y.contiguous()?, &w.contiguous()?, &Last { view, g: *g })?;
        Ok(true)
    }

    struct Last {
        view: View,
        g: Geometry,
    }

    impl CustomOp2 for Last {
        fn name(&self) -> &'static str {
            "conv2d"
        }

        fn cpu_fwd(&self, _: &CpuStorage, _: &Strides, _: &CpuStorage, _: &Strides) -> Result<(CpuStorage, Shape)> {
            bail!("conv2d: this layout is for CUDA devices")
        }

        fn cuda_fwd(
            &self,
            a: &CudaStorage,
            la: &Strides,
            b: &CudaStorage,
            lb: &Strides,
        ) -> Result<(CudaStorage, Shape)> {
            let g = &self.g;
            let shape = match self.view {
                View::Forward => Shape::from((g.batch, g.output.0, g.output.1, g.channels_out)),
                View::Input => Shape::from((g.batch, g.input.0, g.input.1, g.channels_in)),
                View::Weight => Shape::from((g.channels_out, g.kernel.0, g.kernel.1, g.channels_in)),
            };
            Ok((convolve(self.view, Layout::Nhwc, g, (a, la), (b, lb))?, shape))
        }
    }

    impl InplaceOp3 for Last {
        fn name(&self) -> &'static str {
            "conv2d"
        }

        fn cpu_fwd(
            &self,
            _: &mut CpuStorage,
            _: &Strides,
            _: &CpuStorage,
            _: &Strides,
            _: &CpuStorage,
            _: &Strides,
        ) -> Result<()> {
            bail!("conv2d: this layout is for CUDA devices")
        }

        fn cuda_fwd(
            &self,
            to: &mut CudaStorage,
            lt: &Strides,
            a: &CudaStorage,
            la: &Strides,
            b: &CudaStorage,
            lb: &Strides,
        ) -> Result<()> {
            run_into(self.view, Layout::Nhwc, &self.g, (a, la), (b, lb), (to, lt))
        }
    }
}
