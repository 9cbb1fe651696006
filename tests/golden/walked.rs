//! A walk over a network as the bounds take it: each affine layer but the last between its masks in a ball.

use crate::common::golden::uniform;
use candle_core::Tensor;
use workbench::bounds::{Arithmetic, PowerOptions, Region, spectral_norm, varying};
use workbench::nn::{Layer, Sequential};

/// Start vectors of a layer, the same at each call.
pub fn start(layer: &Layer, count: usize) -> Tensor {
    uniform(23, &[&[count], layer.input.as_slice()].concat(), -1.0, 1.0)
}

/// `visit` gets number and layer, and the masks of its columns and rows, in the ball of `eps` around `x`; the ball grows by norms of so many
/// iterations.
pub fn between_masks(
    model: &Sequential,
    (x, eps): (&Tensor, f64),
    iterations: impl Fn(&Layer) -> usize,
    mut visit: impl FnMut(usize, &Layer, Option<&Tensor>, Option<&Tensor>),
) {
    let eps = Tensor::full(eps as f32, x.dims()[0], x.device()).unwrap();
    let (mut region, mut columns) = (Region::around(x, &eps, false).unwrap(), None::<Tensor>);
    for (i, layer) in model.layers().iter().enumerate().take(model.layers().len() - 1) {
        if !layer.is_affine() {
            region = region.activation(layer, false).unwrap();
            if layer.is_maxmin() {
                columns = varying(layer, &region).unwrap();
            } else if !layer.is_activation() {
                columns = columns.map(|c| c.flatten_from(1).unwrap());
            }
            continue;
        }
        let own = PowerOptions { iterations: iterations(layer), tolerance: None, arithmetic: Arithmetic::Own };
        let whole = spectral_norm(layer, &start(layer, 1), None, None, own).unwrap();
        region = region.affine(layer, &whole.sigma).unwrap();
        let next = &model.layers()[i + 1];
        let rows = if next.is_maxmin() { None } else { varying(next, &region).unwrap() };
        visit(i, layer, columns.as_ref(), rows.as_ref());
        columns = rows;
    }
}
