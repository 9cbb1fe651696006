//! Of a region, what a linear function is taken the least value over.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Ball,
    Box,
    /// Where both hold.
    Both,
}
