//! Which Gram matrix of a layer.

/// Which of the two a Gram matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `A^T A`, on inputs.
    Columns,
    /// `A A^T`, on outputs.
    Rows,
}
