//! Power iterations on a device with kernels of our own, for all samples at once: with a tolerance (`gpu`), and of a fixed
//! length (`gpu_passes`).

pub mod gpu;
pub mod gpu_passes;
