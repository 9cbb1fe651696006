//! Weights of norm 1 (or at most 1) as differentiable functions of free parameters
//!
//! ```text
//! cayley      Q = [Z (I - A); -2 V Z],  Z = (I + A)^-1,  A = U - U^H + V^H V of W = [U; V]      (Trockman & Kolter 2021)
//! reflected   I - 2 V (V^H V)^-1 V^H                                                             (BRO: Lai et al. 2025)
//! triangular  L^-1 X,  L L^T = X X^T + 1e-3 mean(diag(X X^T)) I                                  (Cholesky: Hu et al. 2024)
//! residual    I + s g W, as one kernel                                                          (linear residual: Hu et al. 2023)
//! rescaled    W diag(d)^-1/2,  d_i = sum_j,t |(W^T * W)_ij(t)|                                   (AOL: Prach & Lampert 2022)
//! ```
//!
//! Nothing that is certified rests on what they promise: bounds see the weight that they give.

mod cayley;
mod cholesky;
mod convolved;
mod reflected;
mod rescaled;
mod residual;
mod top;

pub use cayley::{cayley, cayley_by_frequency};
pub use cholesky::triangular;
pub use convolved::{norm_along, power_iteration, sigma_and_bound};
pub use reflected::{reflected, reflected_by_frequency};
pub use rescaled::{absolute_gram, rescaled};
pub use residual::residual;
pub use top::{largest_singular_value, norm_above};
