//! Leading singular vectors by Lanczos' method on W^T W, masked: far fewer products than power iteration takes where
//! singular values lie close. Written for these tests, apart from the power iteration that they judge.

use crate::common::golden::{Golden, uniform};
use candle_core::{DType, Tensor};
use nalgebra::{DMatrix, SymmetricEigen};
use workbench::bounds::{Arithmetic, PowerOptions, Region, spectral_norm, varying};
use workbench::nn::Layer;

/// Lanczos' method ends when what W^T W leaves beside the vector is this part of the eigenvalue, which is then as exact:
/// about what f32 allows. In f64 the convolutions of 8C2F take minutes.
const RESIDUAL: f64 = 3e-6;

/// Steps at most. The error falls with exp(-4 steps sqrt(gap)), of power iteration with exp(-2 steps gap).
const STEPS: usize = 240;

/// The leading right singular vectors of every affine layer but the last, by its index.
#[derive(Default)]
pub struct Leading {
    pub globals: Vec<(usize, Tensor)>,
    pub locals: Vec<(usize, Tensor)>,
}

/// Walk over the layers: norms, boxes and masks as Algorithm 1 has them.
pub fn leading(g: &Golden) -> Leading {
    let (model, single) = (g.model(DType::F64).frozen(), g.model(DType::F32).frozen());
    let x = g.wide("x");
    let batch = x.dims()[0];
    let eps = Tensor::full(g.number("eps"), batch, &crate::common::device()).unwrap();
    let (mut region, mut columns, mut found) = (Region::around(&x, &eps, false).unwrap(), None, Leading::default());
    let finish = PowerOptions { iterations: 3, tolerance: None, arithmetic: Arithmetic::Own };
    for (i, layer) in model.layers().iter().enumerate().take(model.layers().len() - 1) {
        if layer.is_affine() {
            let u = of_layer(&single.layers()[i], 1, None, None);
            let norm = spectral_norm(layer, &u, None, None, finish).unwrap();
            region = region.affine(layer, &norm.sigma).unwrap();
            let next = &model.layers()[i + 1];
            let rows = if next.is_maxmin() { None } else { varying(next, &region).unwrap() };
            found.globals.push((i, norm.u.unit().unwrap()));
            found.locals.push((i, of_layer(&single.layers()[i], batch, columns.as_ref(), rows.as_ref())));
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

/// The leading right singular vectors of a masked layer in f32, one per sample, in f64.
pub fn of_layer(layer: &Layer, batch: usize, columns: Option<&Tensor>, rows: Option<&Tensor>) -> Tensor {
    let masked = |t: Tensor, mask: Option<&Tensor>| match mask {
        Some(mask) => (t * mask.to_dtype(DType::F32).unwrap()).unwrap(),
        None => t,
    };
    let shape = [&[batch], layer.input.as_slice()].concat();
    let gram = |q: &[Vec<f32>]| -> Vec<Vec<f32>> {
        let q = Tensor::from_vec(q.concat(), shape.clone(), &crate::common::device()).unwrap();
        let image = masked(layer.apply(&q).unwrap(), rows);
        masked(layer.adjoint(&image).unwrap(), columns).flatten_from(1).unwrap().to_vec2().unwrap()
    };
    let start = masked(uniform(11, &shape, -1.0, 1.0), columns).flatten_from(1).unwrap();
    let mut q: Vec<Vec<f32>> = start.to_vec2().unwrap();
    for q in &mut q {
        normalise(q);
    }
    // Per sample: an orthonormal basis, and the tridiagonal matrix of W^T W in it.
    let mut basis: Vec<Vec<Vec<f32>>> = vec![vec![]; batch];
    let (mut diagonal, mut beside) = (vec![vec![]; batch], vec![vec![]; batch]);
    let mut found = vec![];
    for step in 1..=STEPS.min(layer.input_len()) {
        let mut image = gram(&q);
        for (b, (image, q)) in image.iter_mut().zip(&q).enumerate() {
            diagonal[b].push(dot(image, q));
            basis[b].push(q.clone());
            // The newest first: its part is the large one, and its rounding is then taken out with the older ones.
            for earlier in basis[b].iter().rev() {
                let along = dot(image, earlier) as f32;
                image.iter_mut().zip(earlier).for_each(|(i, e)| *i -= along * e);
            }
            beside[b].push(normalise(image));
        }
        q = image;
        if step % 20 == 0 || step == STEPS.min(layer.input_len()) {
            found = (0..batch).map(|b| largest(&diagonal[b], &beside[b])).collect();
            if found.iter().all(|(_, residual)| *residual <= RESIDUAL) {
                break;
            }
        }
    }
    let leading = found.iter().zip(&basis).flat_map(|((weights, _), basis)| {
        let mut vector = vec![0.0; layer.input_len()];
        for (weight, q) in weights.iter().zip(basis) {
            vector.iter_mut().zip(q).for_each(|(v, q)| *v += weight * f64::from(*q));
        }
        vector
    });
    Tensor::from_vec(leading.collect::<Vec<f64>>(), shape.clone(), &crate::common::device()).unwrap()
}

/// The eigenvector of a tridiagonal matrix at its largest eigenvalue, and what the next step adds to it, relative to that.
fn largest(diagonal: &[f64], beside: &[f64]) -> (Vec<f64>, f64) {
    let n = diagonal.len();
    let matrix = DMatrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => beside[i.min(j)],
        _ => 0.0,
    });
    let eigen = SymmetricEigen::new(matrix);
    let at = eigen.eigenvalues.imax();
    let vector: Vec<f64> = eigen.eigenvectors.column(at).iter().copied().collect();
    let residual = beside[n - 1] * vector[n - 1].abs() / eigen.eigenvalues[at];
    (vector, residual)
}

/// Blocks are summed in f32, over several lanes, and their sums in f64.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let block = |(a, b): (&[f32], &[f32])| {
        let mut lanes = [0f32; 16];
        for (a, b) in a.chunks(16).zip(b.chunks(16)) {
            lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
        }
        f64::from(lanes.iter().sum::<f32>())
    };
    a.chunks(1024).zip(b.chunks(1024)).map(block).sum()
}

/// Scale to length 1; the length that was. Zero stays zero.
fn normalise(vector: &mut [f32]) -> f64 {
    let length = dot(vector, vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
    length
}
