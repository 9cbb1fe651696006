//! Which convolutions have direct kernels, by processor and shape, never by the name of a network. `tests/convolutions.rs`
//! holds each of them, in every form that the machine runs, against matrix products in f64.

use super::gradient;
use crate::compute::conv::Geometry;
use crate::compute::simd::form::available;

/// Is there a direct form of this convolution, in all directions?
pub fn fits(g: &Geometry) -> bool {
    let sizes = [g.batch, g.channels_in, g.channels_out, g.input.0, g.input.1, g.kernel.0, g.kernel.1];
    available() && g.window.stride <= 2 && g.kernel.1 <= gradient::WIDEST && sizes.iter().all(|n| *n > 0)
}
