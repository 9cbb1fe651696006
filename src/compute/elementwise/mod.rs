//! Element by element: clipped and smooth activations, the smaller and larger of two, and the loops that do it.

pub mod clip;
pub mod gpu;
pub mod loops;
pub mod smooth;
