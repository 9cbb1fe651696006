//! The part of an image that some coefficients are of: outside of it they are 0, and nothing is computed there
//!
//! A neuron of a convolution hangs on a window of its input, that on a window of what is before, and so on:
//!
//! ```text
//! rows top .. top + height   hang on rows   top stride - padding .. (top + height - 1) stride - padding + kernel, as far as there are any
//! ```

use crate::compute::conv::{Window, conv2d_input};
use candle_core::{Result, Tensor};

/// Rows and columns of images of `image` (H, W).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub from: [usize; 2],
    pub size: [usize; 2],
    pub image: [usize; 2],
}

impl Part {
    /// That part of `[..., H, W]`.
    pub fn of(&self, t: &Tensor) -> Result<Tensor> {
        let rank = t.rank();
        t.narrow(rank - 2, self.from[0], self.size[0])?.narrow(rank - 1, self.from[1], self.size[1])?.contiguous()
    }

    /// A part `[..., h, w]` with zeros around it.
    pub fn widened(&self, t: &Tensor) -> Result<Tensor> {
        let after = |axis: usize| self.image[axis] - self.from[axis] - self.size[axis];
        let rank = t.rank();
        t.pad_with_zeros(rank - 2, self.from[0], after(0))?.pad_with_zeros(rank - 1, self.from[1], after(1))
    }

    /// `y` `[B, O, h, w]` of this part back through a convolution by `weight` on images of `image`: the part of these that it hangs on, and the
    /// coefficients there.
    pub fn adjoint(&self, y: &Tensor, weight: &Tensor, window: Window, image: [usize; 2]) -> Result<(Self, Tensor)> {
        let (_, _, kh, kw) = weight.dims4()?;
        let reach = [0, 1].map(|axis| (self.size[axis] - 1) * window.stride + [kh, kw][axis]);
        let first = self.from.map(|from| (from * window.stride) as i64 - window.padding as i64);
        let from = first.map(|first| first.max(0) as usize);
        let to = [0, 1].map(|axis| ((first[axis] + reach[axis] as i64).max(0) as usize).min(image[axis]));
        if (0..2).any(|axis| to[axis] <= from[axis]) {
            // All of it lies in the padding: it hangs on nothing.
            let shape = (y.dim(0)?, weight.dim(1)?, 1, 1);
            let nothing = Tensor::zeros(shape, y.dtype(), y.device())?;
            return Ok((Self { from: [0, 0], size: [1, 1], image }, nothing));
        }
        // Without padding the window's rows are all there; those that lie in the padding are cut off.
        let whole = conv2d_input(y, weight, Window { padding: 0, ..window }, (reach[0], reach[1]))?;
        let own = Self { from, size: [0, 1].map(|axis| to[axis] - from[axis]), image };
        let cut = [0, 1].map(|axis| (from[axis] as i64 - first[axis]) as usize);
        let inner = whole.narrow(2, cut[0], own.size[0])?.narrow(3, cut[1], own.size[1])?.contiguous()?;
        Ok((own, inner))
    }
}
