//! What a step through lines computes from, forward and backward.

use candle_core::Tensor;

/// What the gradient needs: `a` and the lines, outside of the graph.
pub struct Held {
    pub a: Tensor,
    pub lines: [Tensor; 4],
    pub bias: Option<Tensor>,
    /// B and S.
    pub sizes: [usize; 2],
}

impl Held {
    /// Numbers of one row.
    pub fn len(&self) -> usize {
        self.a.dims()[2..].iter().product()
    }
}
