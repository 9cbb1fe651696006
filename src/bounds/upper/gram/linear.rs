//! The Gram matrix of a linear layer: one block.

use super::products::{products, symmetrise};
use super::side::Side;
use crate::bounds::upper::masked::{Masks, kept};
use gemm::Parallelism;

/// The Gram matrix of a linear layer.
pub struct Dense {
    pub(super) sizes: Vec<usize>,
    /// Symmetric, both triangles.
    pub values: Vec<f64>,
}

impl Dense {
    pub(super) fn new(
        outputs: usize,
        inputs: usize,
        weight: &[f64],
        masks: Masks,
        side: Side,
        threads: Parallelism,
    ) -> Self {
        let listed = |n: usize, mask: Option<&[u8]>| (0..n).filter(|i| kept(mask, *i)).collect::<Vec<_>>();
        let (rows, columns) = (listed(outputs, masks.rows), listed(inputs, masks.columns));
        // The kept part, with the summed side contiguous.
        let mut part = Vec::with_capacity(rows.len() * columns.len());
        let (m, k) = match side {
            Side::Rows => {
                rows.iter().for_each(|r| part.extend(columns.iter().map(|c| weight[r * inputs + c])));
                (rows.len(), columns.len())
            }
            Side::Columns => {
                columns.iter().for_each(|c| part.extend(rows.iter().map(|r| weight[r * inputs + c])));
                (columns.len(), rows.len())
            }
        };
        let mut values = vec![0.0; m * m];
        products((m, m, k), (&part, 1, k), (&part, 1, k), &mut values, threads);
        symmetrise(&mut values, m);
        Self { sizes: vec![m], values }
    }
}
