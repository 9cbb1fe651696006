//! Square images by frequency: the real Fourier transform in two dimensions as products with matrices, and circular convolutions
//!
//! ```text
//! X[f]  = sum_p x[p] e^(-i f p)                      f = (f1, f2) over n (n/2 + 1) frequencies, f2 the half one
//! x[p]  = 1/n^2 sum_f w(f2) Re(X[f] e^(i f p))       w = 1 at f2 = 0 and n/2, else 2: the other half, conjugate
//! circular convolution by a kernel K:   Y[f] = W[f] X[f],   W[f] = sum_t K[t] e^(i f t)   (correlation: y[p] = sum_t K[t] x[p + t])
//! ```
//!
//! Complex matrices are real ones of twice the size, `[Re -Im; Im Re]`; their transposes are conjugate ones. Frequencies lie along the first
//! axis, f2 before f1. For images of up to 64 pixels a side a product with an n x n matrix is about as fast as a fast transform.

mod complex;
mod cpu;
mod product;
mod spectrum;
mod tables;
mod transform;

pub use complex::Complex;
pub use product::circular;
pub use spectrum::{kernel_of, of_spectrum, spectrum, spectrum_norm, spectrum_of_plane};
pub use transform::frequencies;
