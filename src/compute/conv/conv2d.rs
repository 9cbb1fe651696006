//! Two-dimensional convolution and its two adjoints, three views of one trilinear form
//!
//! ```text
//! T(x, w, y) = sum over b, o, i, p, k of  y[b,o,p] w[o,i,k] x[b,i, stride p + k - padding]
//!
//! conv2d(x, w)        = dT/dy      x [B,I,H,W], w [O,I,KH,KW] -> [B,O,H',W'],  H' = (H + 2 padding - KH) / stride + 1
//! conv2d_input(y, w)  = dT/dx      the transposed convolution, its size fixed to [H, W]
//! conv2d_weight(x, y) = dT/dw      the gradient of the kernel
//! ```
//!
//! The gradient of each is given by the other two. The zero padding is part of the linear map, as in Algorithm 1 of Huang et al. (2021): norms are those of this map at its real input size.

#[cfg(feature = "cuda")]
use super::cuda::run::{View, run};
pub use super::geometry::{Geometry, Window};
use super::{cpu, device};
use crate::compute::autograd::differentiable;
use crate::compute::element::{for_float, slice};
use crate::compute::gpu;
#[cfg(feature = "cuda")]
use crate::compute::layout::Layout;
use crate::compute::norms;
use crate::compute::norms::channels::{add_bias, channel_sums, over_batch};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout as Strides, Result, Shape, Tensor, bail};

/// `x` `[B,I,H,W]` convolved with `w` `[O,I,KH,KW]`, no bias. f32 or f64; f16 on a CUDA device.
pub fn conv2d(x: &Tensor, w: &Tensor, window: Window) -> Result<Tensor> {
    if !ours(x) {
        return device::forward(x, w, window);
    }
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    let (xs, ws) = (x.detach(), w.detach());
    let y = xs.apply_op2_no_bwd(&ws, &Forward { window })?;
    differentiable("conv2d", y, [&x, &w, &w], move |g, [to_x, to_w, _]| {
        let (dx, dw) = gradients([&xs, &ws], g, window, [to_x, to_w])?;
        Ok((dx, dw, None))
    })
}

/// Those of x and w, where wanted.
fn gradients(
    [x, w]: [&Tensor; 2],
    g: &Tensor,
    window: Window,
    [to_x, to_w]: [bool; 2],
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let ((_, _, h, width), (_, _, kh, kw)) = (x.dims4()?, w.dims4()?);
    let dx = to_x.then(|| conv2d_input(g, w, window, (h, width))).transpose()?;
    Ok((dx, to_w.then(|| conv2d_weight(x, g, window, (kh, kw))).transpose()?))
}

/// [`conv2d`] plus `bias` `[O]`, in one pass.
pub fn conv2d_bias(x: &Tensor, w: &Tensor, bias: &Tensor, window: Window) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return add_bias(&conv2d(x, w, window)?, bias);
    }
    let (x, w, bias) = (x.contiguous()?, w.contiguous()?, bias.contiguous()?);
    let (xs, ws) = (x.detach(), w.detach());
    let y = xs.apply_op3_no_bwd(&ws, &bias.detach(), &Biased { window })?;
    differentiable("conv2d", y, [&x, &w, &bias], move |g, [to_x, to_w, to_bias]| {
        let (dx, dw) = gradients([&xs, &ws], g, window, [to_x, to_w])?;
        Ok((dx, dw, to_bias.then(|| over_batch(&channel_sums(g)?)).transpose()?))
    })
}

/// `sum_b scale_b dT/dw (x_b, y_b)`: [`conv2d_weight`] with each sample of `y` times one number. No gradient.
pub fn conv2d_weight_scaled(
    x: &Tensor,
    y: &Tensor,
    scale: &Tensor,
    window: Window,
    kernel: (usize, usize),
) -> Result<Tensor> {
    let (x, y, scale) = (x.detach(), y.detach(), scale.detach());
    if gpu::has_kernel(&x) {
        return conv2d_weight(&x, &norms::gpu::scale_samples(&y, &scale)?, window, kernel);
    }
    if !x.device().is_cpu() {
        return device::weight(&x, &y.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?, window, kernel);
    }
    x.contiguous()?.apply_op3_no_bwd(&y.contiguous()?, &scale.contiguous()?, &Weight { window, kernel })
}

/// The adjoint of [`conv2d`] in its input: `y` `[B,O,H',W']` to `[B,I,H,W]`, `size` = (H, W).
pub fn conv2d_input(y: &Tensor, w: &Tensor, window: Window, size: (usize, usize)) -> Result<Tensor> {
    if !ours(y) {
        return device::input(y, w, window, size);
    }
    let (y, w) = (y.contiguous()?, w.contiguous()?);
    let (ys, ws) = (y.detach(), w.detach());
    let x = ys.apply_op2_no_bwd(&ws, &Input { window, size })?;
    differentiable("conv2d_input", x, [&y, &w, &w], move |g, [to_y, to_w, _]| {
        let (_, _, kh, kw) = ws.dims4()?;
        let dy = to_y.then(|| conv2d(g, &ws, window)).transpose()?;
        Ok((dy, to_w.then(|| conv2d_weight(g, &ys, window, (kh, kw))).transpose()?, None))
    })
}

/// The adjoint of [`conv2d`] in its kernel, summed over the batch: `x` and `y` to `[O,I,KH,KW]`.
pub fn conv2d_weight(x: &Tensor, y: &Tensor, window: Window, kernel: (usize, usize)) -> Result<Tensor> {
    if !ours(x) {
        return device::weight(x, y, window, kernel);
    }
    let (x, y) = (x.contiguous()?, y.contiguous()?);
    let (xs, ys) = (x.detach(), y.detach());
    let w = xs.apply_op2_no_bwd(&ys, &Weight { window, kernel })?;
    differentiable("conv2d_weight", w, [&x, &y, &y], move |g, [to_x, to_y, _]| {
        let (_, _, h, width) = xs.dims4()?;
        let dx = to_x.then(|| conv2d_input(&ys, g, window, (h, width))).transpose()?;
        Ok((dx, to_y.then(|| conv2d(&xs, g, window)).transpose()?, None))
    })
}

/// Is there a form of our own for this tensor? Elsewhere candle's operations do the same.
fn ours(x: &Tensor) -> bool {
    x.device().is_cpu() || gpu::has_kernel(x) || x.device().is_cuda() && x.dtype() == DType::F16
}

struct Forward {
    window: Window,
}

impl CustomOp2 for Forward {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Strides, w: &CpuStorage, lw: &Strides) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(self.name(), lx.shape().dims4()?, lw.shape().dims4()?, self.window)?;
        let shape = Shape::from((g.batch, g.channels_out, g.output.0, g.output.1));
        for_float!(self.name(), x, T => {
            let y = cpu::forward::<T>(&g, slice(self.name(), x, lx)?, slice(self.name(), w, lw)?, None);
            Ok((candle_core::WithDType::to_cpu_storage_owned(y), shape))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Strides, w: &CudaStorage, lw: &Strides) -> Result<(CudaStorage, Shape)> {
        let g = Geometry::new(self.name(), lx.shape().dims4()?, lw.shape().dims4()?, self.window)?;
        let shape = Shape::from((g.batch, g.channels_out, g.output.0, g.output.1));
        Ok((run(View::Forward, Layout::Nchw, &g, (x, lx), (w, lw))?, shape))
    }
}

struct Biased {
    window: Window,
}

impl CustomOp3 for Biased {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Strides,
        w: &CpuStorage,
        lw: &Strides,
        bias: &CpuStorage,
        lb: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        let g = Geometry::new(op, lx.shape().dims4()?, lw.shape().dims4()?, self.window)?;
        if lb.dims() != [g.channels_out] {
            bail!("{op}: a bias of shape {:?} for {} channels", lb.dims(), g.channels_out);
        }
        let shape = Shape::from((g.batch, g.channels_out, g.output.0, g.output.1));
        for_float!(op, x, T => {
            let bias = Some(slice::<T>(op, bias, lb)?);
            let y = cpu::forward::<T>(&g, slice(op, x, lx)?, slice(op, w, lw)?, bias);
            Ok((candle_core::WithDType::to_cpu_storage_owned(y), shape))
        })
    }
}

struct Input {
    window: Window,
    size: (usize, usize),
}

impl Input {
    fn geometry(&self, y: &Strides, w: &Strides) -> Result<Geometry> {
        let (batch, ..) = y.shape().dims4()?;
        let weight = w.shape().dims4()?;
        let g = Geometry::new("conv2d_input", (batch, weight.1, self.size.0, self.size.1), weight, self.window)?;
        g.expect_output("conv2d_input", y.shape().dims())?;
        Ok(g)
    }
}

impl CustomOp2 for Input {
    fn name(&self) -> &'static str {
        "conv2d_input"
    }

    fn cpu_fwd(&self, y: &CpuStorage, ly: &Strides, w: &CpuStorage, lw: &Strides) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(ly, lw)?;
        let shape = Shape::from((g.batch, g.channels_in, g.input.0, g.input.1));
        for_float!(self.name(), y, T => {
            let x = cpu::input::<T>(&g, slice(self.name(), y, ly)?, slice(self.name(), w, lw)?);
            Ok((candle_core::WithDType::to_cpu_storage_owned(x), shape))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, y: &CudaStorage, ly: &Strides, w: &CudaStorage, lw: &Strides) -> Result<(CudaStorage, Shape)> {
        let g = self.geometry(ly, lw)?;
        let shape = Shape::from((g.batch, g.channels_in, g.input.0, g.input.1));
        Ok((run(View::Input, Layout::Nchw, &g, (y, ly), (w, lw))?, shape))
    }
}

struct Weight {
    window: Window,
    kernel: (usize, usize),
}

impl Weight {
    fn geometry(&self, x: &Strides, y: &Strides) -> Result<Geometry> {
        let (_, channels_out, ..) = y.shape().dims4()?;
        let input = x.shape().dims4()?;
        let weight = (channels_out, input.1, self.kernel.0, self.kernel.1);
        let g = Geometry::new("conv2d_weight", input, weight, self.window)?;
        g.expect_output("conv2d_weight", y.shape().dims())?;
        Ok(g)
    }
}

impl CustomOp2 for Weight {
    fn name(&self) -> &'static str {
        "conv2d_weight"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Strides, y: &CpuStorage, ly: &Strides) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(lx, ly)?;
        let shape = Shape::from((g.channels_out, g.channels_in, g.kernel.0, g.kernel.1));
        for_float!("conv2d_weight", x, T => {
            let w = cpu::weight::<T>(&g, slice("conv2d_weight", x, lx)?, slice("conv2d_weight", y, ly)?, None);
            Ok((candle_core::WithDType::to_cpu_storage_owned(w), shape))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Strides, y: &CudaStorage, ly: &Strides) -> Result<(CudaStorage, Shape)> {
        let g = self.geometry(lx, ly)?;
        let shape = Shape::from((g.channels_out, g.channels_in, g.kernel.0, g.kernel.1));
        Ok((run(View::Weight, Layout::Nchw, &g, (x, lx), (y, ly))?, shape))
    }
}

/// The scaled sum, without a gradient of its own.
impl CustomOp3 for Weight {
    fn name(&self) -> &'static str {
        "conv2d_weight"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Strides,
        y: &CpuStorage,
        ly: &Strides,
        scale: &CpuStorage,
        ls: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let op = CustomOp2::name(self);
        let g = self.geometry(lx, ly)?;
        if ls.dims() != [g.batch] {
            bail!("{op}: {} samples want as many scales, got a tensor of shape {:?}", g.batch, ls.dims());
        }
        let shape = Shape::from((g.channels_out, g.channels_in, g.kernel.0, g.kernel.1));
        for_float!(op, x, T => {
            let scale = Some(slice::<T>(op, scale, ls)?);
            let w = cpu::weight::<T>(&g, slice(op, x, lx)?, slice(op, y, ly)?, scale);
            Ok((candle_core::WithDType::to_cpu_storage_owned(w), shape))
        })
    }
}
