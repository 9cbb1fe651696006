//! Almost orthogonal layers: a column for each input channel, divided so that no map that is convolved with it can stretch
//!
//! ```text
//! ||W diag(d)^-1/2||^2 <= 1,   d_i = sum_j,t |(W^T * W)_ij(t)|
//! ```
//!
//! by Gershgorin's circles of D^-1/2 W^T W D^-1/2, which is similar to D^-1 W^T W. Any padding, any stride: these leave rows out.

use crate::compute::conv::{Window, conv2d};
use candle_core::{Result, Tensor};

/// `sum_t |(K * K)_ij(t)|` for output channels i, j of a kernel `K` `[O, I, k, k]`, or rows of a matrix `[O, I]`: `[O, O]`.
pub fn absolute_gram(kernel: &Tensor) -> Result<Tensor> {
    match kernel.rank() {
        4 => {
            let k = kernel.dim(3)?;
            conv2d(kernel, kernel, Window::new(1, k - 1))?.abs()?.sum((2, 3))
        }
        _ => kernel.matmul(&kernel.t()?.contiguous()?)?.abs(),
    }
}

/// `W diag(d)^-1/2` of a kernel `[O, I, k, k]` or a matrix `[O, I]`. A column of zeros stays one.
pub fn rescaled(w: &Tensor) -> Result<Tensor> {
    let sums = absolute_gram(&w.transpose(0, 1)?.contiguous()?)?.sum(1)?;
    // Of a column of zeros the sum is 0, its gradient too.
    let sums = sums.maximum(f64::from(f32::MIN_POSITIVE))?;
    let mut shape = vec![1; w.rank()];
    shape[1] = sums.elem_count();
    w.broadcast_div(&sums.sqrt()?.reshape(shape)?)
}
