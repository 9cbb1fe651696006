//! Leading singular vectors by Lanczos' method on W^T W, masked: far fewer products than power iteration takes where
//! singular values lie close. Written for these tests, apart from the power iteration that they judge.
//!
//! How good they are is found out, not assumed. With r = ||W^T W u - lambda u|| / lambda, measured in f64, and
//! gamma = 1 - lambda_2 / lambda_1, the gap:
//!
//! ```text
//! angle to the true vector <= r / gamma       (Davis and Kahan)
//! sigma low by at most a part of min(r / 2, r^2 / (2 gamma))       (Kato and Temple)
//! ```

use super::golden::uniform;
use super::rounding::distances;
use super::values;
use candle_core::{DType, Tensor};
use nalgebra::{DMatrix, SymmetricEigen};
use workbench::bounds::{Arithmetic, PowerOptions, spectral_norm};
use workbench::nn::Layer;

/// Lanczos' method ends when what W^T W leaves beside the vector is this part of the eigenvalue: about what f32 allows. In
/// f64 the convolutions of 8C2F take minutes.
const RESIDUAL: f64 = 3e-6;

/// Steps at most. The error falls with exp(-4 steps sqrt(gap)), of power iteration with exp(-2 steps gap).
const STEPS: usize = 240;

/// Leading right singular vectors of a masked layer, one per sample.
pub struct Vectors {
    pub first: Tensor,
    pub second: Tensor,
    /// The two largest eigenvalues of W^T W; the second may lie below what stands here.
    pub values: Vec<[f64; 2]>,
    /// r of the first, relative to the eigenvalue.
    pub residual: Vec<f64>,
}

impl Vectors {
    fn gaps(&self) -> impl Iterator<Item = f64> {
        self.values.iter().map(|[first, second]| (1.0 - second / first).max(0.0))
    }

    /// How far the first vectors may be turned; 1 where nothing is known.
    pub fn angles(&self) -> Vec<f64> {
        self.residual.iter().zip(self.gaps()).map(|(r, gap)| (r / gap.max(*r)).min(1.0)).collect()
    }

    /// How far below the truth a norm may lie, as a part of it, at worst.
    pub fn low(&self) -> f64 {
        self.residual.iter().zip(self.gaps()).map(|(r, gap)| 0.5 * r * (r / gap.max(*r)).min(1.0)).fold(0.0, f64::max)
    }

    /// The first vectors turned towards the second ones, as far as they may be.
    pub fn turned(&self) -> Tensor {
        let angles = Tensor::from_vec(self.angles(), self.residual.len(), self.first.device()).unwrap();
        let angles = workbench::compute::reduce::per_sample(&angles, &self.first).unwrap();
        (&self.first + self.second.broadcast_mul(&angles).unwrap()).unwrap()
    }

    /// Finish the first vectors, found in f32, by a few iterations in f64, which also tell how good they are.
    pub fn finished(mut self, layer: &Layer, columns: Option<&Tensor>, rows: Option<&Tensor>) -> Self {
        let iterate = |u: &Tensor, iterations| {
            let power = PowerOptions { iterations, tolerance: None, arithmetic: Arithmetic::Own };
            spectral_norm(layer, u, columns, rows, power).unwrap()
        };
        let before = iterate(&self.first, 2).u.unit().unwrap();
        let last = iterate(&before, 1);
        self.first = last.u.unit().unwrap();
        let exact = values(&last.sigma).into_iter();
        self.values.iter_mut().zip(exact).for_each(|(values, sigma)| values[0] = sigma * sigma);
        // An iteration never makes the residual larger, and this is the one before it.
        self.residual = distances(&self.first, &before);
        self
    }
}

/// The leading vectors of a masked layer in f32, of a batch, as f64.
pub fn by_lanczos(layer: &Layer, batch: usize, columns: Option<&Tensor>, rows: Option<&Tensor>) -> Vectors {
    let masked = |t: Tensor, mask: Option<&Tensor>| match mask {
        Some(mask) => (t * mask.to_dtype(DType::F32).unwrap()).unwrap(),
        None => t,
    };
    let shape = [&[batch], layer.input.as_slice()].concat();
    let (_, device) = layer.numbers().expect("an affine layer");
    let gram = |q: &[Vec<f32>]| -> Vec<Vec<f32>> {
        let q = Tensor::from_vec(q.concat(), shape.clone(), &device).unwrap();
        let image = masked(layer.apply(&q).unwrap(), rows);
        masked(layer.adjoint(&image).unwrap(), columns).flatten_from(1).unwrap().to_vec2().unwrap()
    };
    let start = masked(uniform(11, &shape, -1.0, 1.0).to_device(&device).unwrap(), columns).flatten_from(1).unwrap();
    let mut q: Vec<Vec<f32>> = start.to_vec2().unwrap();
    for q in &mut q {
        normalise(q);
    }
    // Per sample: an orthonormal basis, and the tridiagonal matrix of W^T W in it.
    let mut basis: Vec<Vec<Vec<f32>>> = vec![vec![]; batch];
    let (mut diagonal, mut beside) = (vec![vec![]; batch], vec![vec![]; batch]);
    let mut found: Vec<Ritz> = vec![];
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
            found = (0..batch).map(|b| Ritz::of(&diagonal[b], &beside[b])).collect();
            if found.iter().all(Ritz::settled) {
                break;
            }
        }
    }
    let vectors = |which: usize| {
        let one = |(ritz, basis): (&Ritz, &Vec<Vec<f32>>)| {
            let mut vector = vec![0.0; layer.input_len()];
            for (weight, q) in ritz.weights[which].iter().zip(basis) {
                vector.iter_mut().zip(q).for_each(|(v, q)| *v += weight * f64::from(*q));
            }
            vector
        };
        let all: Vec<f64> = found.iter().zip(&basis).flat_map(one).collect();
        Tensor::from_vec(all, shape.clone(), &device).unwrap()
    };
    Vectors {
        first: vectors(0),
        second: vectors(1),
        // A Ritz value lies below an eigenvalue, by no more than its residual.
        values: found.iter().map(|r| [r.values[0], (r.values[1] + r.residuals[1]).min(r.values[0])]).collect(),
        residual: found.iter().map(|r| r.residuals[0] / r.values[0].max(f64::MIN_POSITIVE)).collect(),
    }
}

/// The two largest eigenvalues of a tridiagonal matrix, the second 0 where there is none, their eigenvectors, and what the
/// next step adds to these.
struct Ritz {
    values: [f64; 2],
    weights: [Vec<f64>; 2],
    residuals: [f64; 2],
}

impl Ritz {
    fn of(diagonal: &[f64], beside: &[f64]) -> Self {
        let n = diagonal.len();
        let matrix = DMatrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => diagonal[i],
            1 => beside[i.min(j)],
            _ => 0.0,
        });
        let eigen = SymmetricEigen::new(matrix);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let (first, second) = (order[0], order.get(1));
        let vector = |at: usize| -> Vec<f64> { eigen.eigenvectors.column(at).iter().copied().collect() };
        let weights = [vector(first), second.map_or(vec![0.0; n], |at| vector(*at))];
        Self {
            values: [eigen.eigenvalues[first], second.map_or(0.0, |at| eigen.eigenvalues[*at])],
            residuals: [0, 1].map(|which: usize| beside[n - 1] * weights[which][n - 1].abs()),
            weights,
        }
    }

    /// Has the first converged, and the second so far that the gap is known?
    fn settled(&self) -> bool {
        let [first, second] = self.values;
        self.residuals[0] <= RESIDUAL * first && self.residuals[1] <= 0.2 * (first - second)
    }
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
