//! How many of the images are wanted.

use std::fmt;

/// How many of the images are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// So many.
    Count(usize),
    /// This part of them, between 0 and 1; rounded to a whole number.
    Fraction(f64),
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => n.fmt(f),
            Self::Fraction(part) => write!(f, "{part:?}"),
        }
    }
}
