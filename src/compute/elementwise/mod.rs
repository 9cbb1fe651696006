//! Element by element: clipped and smooth activations, the smaller and larger of two, sorted pairs, and the loops that do it.

pub mod clip;
pub mod gpu;
pub mod loops;
pub mod pairs;
pub mod smooth;
