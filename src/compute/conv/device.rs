//! The convolutions on devices other than the CPU, by candle's own operations and gradients.
//!
//! Correct wherever candle runs; its transposed convolution is a naive kernel, so the two adjoints are slow there. The
//! gradient of the kernel is a convolution over the batch axis: x^T `[I,B,H,W]` with y^T `[O,B,H',W']` as its kernel,
//! the stride becoming a dilation, cut to the kernel's size.

use super::Window;
use candle_core::{Result, Tensor};

/// `w x`.
pub fn forward(x: &Tensor, w: &Tensor, window: Window) -> Result<Tensor> {
    x.conv2d(w, window.padding, window.stride, 1, 1)
}

/// `w^T y`. candle has one output padding for both axes: where the axes differ the result is made larger and cut.
pub fn input(y: &Tensor, w: &Tensor, window: Window, size: (usize, usize)) -> Result<Tensor> {
    let (_, _, kh, kw) = w.dims4()?;
    let rest = |n: usize, k: usize| (n + 2 * window.padding - k) % window.stride;
    let output_padding = rest(size.0, kh).max(rest(size.1, kw));
    y.conv_transpose2d(w, window.padding, output_padding, window.stride, 1)?.narrow(2, 0, size.0)?.narrow(3, 0, size.1)
}

/// The kernel's gradient, summed over the batch.
pub fn weight(x: &Tensor, y: &Tensor, window: Window, kernel: (usize, usize)) -> Result<Tensor> {
    let (x, y) = (x.transpose(0, 1)?.contiguous()?, y.transpose(0, 1)?.contiguous()?);
    let w = x.conv2d(&y, window.padding, 1, window.stride, 1)?;
    w.narrow(2, 0, kernel.0)?.narrow(3, 0, kernel.1)?.transpose(0, 1)?.contiguous()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;
    use crate::compute::conv;
    use candle_core::{DType, Device};

    /// The two forms are the same map, also where axes differ and the stride leaves a rest.
    #[test]
    fn agrees_with_the_cpu_form() -> Result<()> {
        let random = Generator::new(5);
        for (size, kernel, stride, padding) in
            [((6, 6), (3, 3), 1, 1), ((7, 8), (4, 3), 2, 1), ((9, 6), (2, 5), 3, 2), ((5, 7), (1, 1), 2, 0)]
        {
            let window = Window::new(stride, padding);
            let draw = |shape: [usize; 4]| random.normal(0.0, 1.0, &shape, DType::F64, &Device::Cpu);
            let (x, w) = (draw([3, 2, size.0, size.1])?, draw([4, 2, kernel.0, kernel.1])?);
            let y = conv::conv2d(&x, &w, window)?
                .ones_like()?
                .mul(&draw(conv::conv2d(&x, &w, window)?.dims4()?.into())?)?;
            let same = |a: Tensor, b: Tensor| -> Result<()> {
                assert_eq!(a.dims(), b.dims());
                let gap = (a - b)?.abs()?.max_all()?.to_scalar::<f64>()?;
                assert!(gap < 1e-12, "{size:?} {kernel:?} {window:?}: {gap}");
                Ok(())
            };
            same(conv::conv2d(&x, &w, window)?, forward(&x, &w, window)?)?;
            same(conv::conv2d_input(&y, &w, window, size)?, input(&y, &w, window, size)?)?;
            same(conv::conv2d_weight(&x, &y, window, kernel)?, weight(&x, &y, window, kernel)?)?;
        }
        Ok(())
    }
}
