//! The walk of Algorithm 1 with leading singular vectors found otherwise than by power iteration: by Lanczos' method, since close
//! singular values would take power iteration tens of thousands of rounds.

use crate::common::golden::Golden;
use crate::common::lanczos::{Vectors, by_lanczos};
use candle_core::{DType, Tensor};
use workbench::bounds::{Region, varying};
use workbench::nn::Layer;

/// The leading right singular vectors of every affine layer but the last, by its index.
#[derive(Default)]
pub struct Leading {
    pub globals: Vec<(usize, Vectors)>,
    pub locals: Vec<(usize, Vectors)>,
}

/// Start vectors for every affine layer but the last, by its index: global, then local ones.
pub type Starts = (Vec<(usize, Tensor)>, Vec<(usize, Tensor)>);

impl Leading {
    /// The vectors that were found.
    pub fn as_found(&self) -> Starts {
        self.starts(|v| v.first.clone())
    }

    /// All of them turned as far as they may be wrong, in two ways.
    pub fn turned(&self) -> [Starts; 2] {
        [0, 1].map(|way| self.starts(|v| v.turned()[way].clone()))
    }

    fn starts(&self, of: impl Fn(&Vectors) -> Tensor) -> Starts {
        let list = |all: &[(usize, Vectors)]| all.iter().map(|(i, v)| (*i, of(v))).collect();
        (list(&self.globals), list(&self.locals))
    }

    /// How far below the truth a norm may lie, as a part of it, at worst.
    pub fn low(&self) -> f64 {
        self.globals.iter().chain(&self.locals).map(|(_, v)| v.low()).fold(0.0, f64::max)
    }
}

/// Walk over the layers: norms, boxes and masks as Algorithm 1 has them. `find` gives the vectors of a batch for a layer, in
/// f64 and in f32, and its masks of columns and rows.
pub fn leading(
    g: &Golden,
    find: impl Fn(&Layer, &Layer, usize, Option<&Tensor>, Option<&Tensor>) -> Vectors,
) -> Leading {
    let (model, single) = (g.model(DType::F64).frozen(), g.model(DType::F32).frozen());
    let x = g.wide("x");
    let batch = x.dims()[0];
    let eps = Tensor::full(g.number("eps"), batch, &crate::common::device()).unwrap();
    let (mut region, mut columns, mut found) = (Region::around(&x, &eps, false).unwrap(), None, Leading::default());
    for (i, layer) in model.layers().iter().enumerate().take(model.layers().len() - 1) {
        if layer.is_affine() {
            let whole = find(layer, &single.layers()[i], 1, None, None);
            let sigma = whole.values[0][0].sqrt();
            region = region.affine(layer, &Tensor::new(&[sigma], x.device()).unwrap()).unwrap();
            let next = &model.layers()[i + 1];
            let rows = if next.is_maxmin() { None } else { varying(next, &region).unwrap() };
            found.globals.push((i, whole));
            let own = find(layer, &single.layers()[i], batch, columns.as_ref(), rows.as_ref());
            found.locals.push((i, own));
            columns = rows;
        } else {
            region = region.activation(layer, false).unwrap();
            if layer.is_maxmin() {
                columns = varying(layer, &region).unwrap();
            } else if !layer.is_activation() {
                columns = columns.map(|c: Tensor| c.flatten_from(1).unwrap());
            }
        }
    }
    found
}

/// The leading vectors of a masked layer, in f64: found in f32, of which `single` is a copy, and finished in f64.
pub fn of_layer(
    layer: &Layer,
    single: &Layer,
    batch: usize,
    columns: Option<&Tensor>,
    rows: Option<&Tensor>,
) -> Vectors {
    by_lanczos(single, batch, columns, rows).finished(layer, columns, rows)
}
