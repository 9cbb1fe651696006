//! A value that is already known, with a gradient that is known too.
//!
//! The spectral norm's gradient is the envelope: with the singular vectors u, v held constant,
//! `d sigma_b = v_b . dW u_b`. Its value comes out of the power iteration, so the forward pass only hands it on.

use super::differentiable;
use candle_core::{Result, Tensor};

/// `value` as a function of `arg`, whose gradient is `gradient(gradient of the value)`. The value is copied.
pub fn with_gradient(
    name: &'static str,
    arg: &Tensor,
    value: &Tensor,
    gradient: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !arg.track_op() {
        return Ok(value.detach());
    }
    let own = value.detach().force_contiguous()?;
    differentiable(name, own, [arg; 3], move |g, _| Ok((Some(gradient(g)?), None, None)))
}
