//! Power iterations on a device with kernels of our own, for all samples at once: with a tolerance (`gpu`), and of a fixed
//! length (`gpu_passes`); for one vector through few rows (`few_rows`).

pub mod few_rows;
pub mod gpu;
pub mod gpu_passes;
