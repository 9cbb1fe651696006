//! Direct convolution of one picture on one core with AVX-512, or AVX2 and FMA, in f32; in bf16 where the processor has that
//!
//! `compute/simd` says which of the two it is, and what the kernels see of either. `blocked` is the form of a picture that all
//! kernels read and write, `packing` the way into it and back, `plan` the taps of either direction, `tile` the register
//! tiles, `kernel` the walk over a picture, `gradient` the kernel's gradient, `passes` masks and norms. `planes`, `planar` and
//! `planar_gradient` are the same for convolutions of a few channels; `pair` chooses between the two. `batch` takes the
//! pictures of a batch in parallel, `fits` says what is covered; all else (other processors, f64, strides above 2, kernels
//! wider than 7) goes through matrix products (`conv/matrix`).

#[cfg(target_arch = "x86_64")]
pub mod batch;
pub mod blocked;
mod fits;
pub mod gradient;
pub mod kernel;
pub mod packing;
pub mod pair;
pub mod passes;
pub mod plan;
pub mod planar;
pub mod planar_gradient;
pub mod planes;
mod tile;

pub use crate::compute::simd::lines::{HalfLine, Line};
pub use crate::compute::simd::scratch::with_lines;
pub use blocked::Blocked;
pub use fits::fits;
pub use gradient::Gradient;
pub use kernel::{Finish, Kernel};
pub use packing::{pack, pack_center_radius, unpack, unpack_ends};
pub use pair::Pair;
pub use plan::Direction;
pub use planar::{Planar, suits};
pub use planar_gradient::PlanarGradient;
