//! Which arithmetic a script's numbers follow: what `7 / 2` is, and when two floats are equal. A run records it, and one that
//! is repeated or goes on keeps it; one that recorded none is repeated with Rhai's own.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// Of runs that do not say: `7 / 2` is 3, `-x ** 2` is (-x)^2, `2 ^ 3` is 1, floats within 2.2e-16 are equal.
    #[default]
    Whole,
    /// `7 / 2` is 3.5 and `6 / 2` is 3; comparisons of floats are those of IEEE 754; what reads two ways is refused.
    Fractions,
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "whole",
            Self::Fractions => "fractions",
        })
    }
}
