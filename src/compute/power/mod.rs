//! Power iterations on a device with kernels of our own, for all samples at once: with a tolerance (`steps`), and of a fixed
//! length (`passes`).

pub mod passes;
pub mod steps;
