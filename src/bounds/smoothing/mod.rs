//! Randomised smoothing (Cohen et al., ICML 2019): votes of a network on noisy copies of an image, and what they prove
//!
//! ```text
//! g(x) = the class c with the largest P[f(x + sigma N) = c]         N standard normal, f the network
//! P[f(x + sigma N) = c] >= p >= 1/2   =>   g(x + delta) = c  for all ||delta|| < sigma Phi^-1(p)
//! ```
//!
//! p is a bound from counted votes, wrong with a probability of at most alpha. It speaks of g, not of the network itself.

mod binomial;
mod radius;
mod votes;

pub use binomial::{binomial_lower, binomial_p_value};
pub use radius::{normal_quantile, smoothed_radius};
pub use votes::{VoteOptions, noisy_votes};
