//! A square root that gradients pass at 0.

use candle_core::{Result, Tensor};

/// A square root whose gradient at 0 is 0.
pub fn safe_sqrt(x: &Tensor) -> Result<Tensor> {
    let positive = x.gt(0.0)?;
    let one = x.ones_like()?.detach();
    positive.where_cond(&positive.where_cond(x, &one)?.sqrt()?, &x.zeros_like()?.detach())
}
