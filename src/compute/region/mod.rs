//! Ball and box through an affine layer and the activation behind it, as one operation.

pub mod around;
pub mod center_radius;
#[cfg(target_arch = "x86_64")]
pub mod conv;
pub mod gpu;
pub mod linear;
pub mod value;
pub mod weights;
