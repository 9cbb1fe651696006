//! Element by element: clipped activations, the smaller and larger of two, and the loops that do it.

pub mod clip;
pub mod gpu;
pub mod loops;
