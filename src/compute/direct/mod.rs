//! Direct convolution of one picture on one core with AVX-512, or AVX2 and FMA, in f32; in bf16 where the processor has that
//!
//! `form` says which of the two it is, `register` what the kernels see of either (`avx512`, `avx2`); `layout` is the blocked
//! form that all kernels read and write, `packing` the way into it and back, `plan` the taps of either direction, `tile` the
//! register tiles, `kernel` the walk over a picture, `gradient` the kernel's gradient, `passes` masks and norms. `planes`,
//! `planar` and `planar_gradient` are the same for convolutions of a few channels, `pair` chooses between the two, `linear`
//! has the products of linear layers. What these do not cover (other processors, f64, strides above 2, kernels wider than 7)
//! goes through `conv_cpu`'s matrix products.

mod avx2;
mod avx512;
pub mod form;
pub mod gradient;
pub mod kernel;
pub mod layout;
pub mod linear;
pub mod packing;
pub mod pair;
pub mod passes;
pub mod plan;
pub mod planar;
pub mod planar_gradient;
pub mod planes;
mod register;
pub mod scratch;
mod tile;

pub use gradient::Gradient;
pub use kernel::{Finish, Kernel};
pub use layout::{Blocked, HalfLine, Line};
pub use packing::{pack, pack_middles, unpack, unpack_ends};
pub use pair::Pair;
pub use plan::Direction;
pub use planar::{Planar, suits};
pub use planar_gradient::PlanarGradient;
pub use scratch::with_lines;

use super::conv::Geometry;

/// Does the processor have what the f32 kernels need?
pub fn available() -> bool {
    form::form().is_some()
}

/// Does it multiply bf16?
pub fn bf16_available() -> bool {
    form::form() == Some(form::Form::Avx512) && is_x86_feature_detected!("avx512bf16")
}

/// Is there a direct form of this convolution, in all directions?
pub fn fits(g: &Geometry) -> bool {
    let sizes = [g.batch, g.channels_in, g.channels_out, g.input.0, g.input.1, g.kernel.0, g.kernel.1];
    available() && g.window.stride <= 2 && g.kernel.1 <= gradient::WIDEST && sizes.iter().all(|n| *n > 0)
}
