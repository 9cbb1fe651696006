//! Leading singular vectors by Lanczos' method on W^T W, masked: far fewer products than power iteration takes where
//! singular values lie close. Written for these tests, apart from the power iteration that they judge.
//!
//! Two vectors at a time, for singular values of a convolution come in pairs: a wave over the image and the same wave shifted,
//! apart by 1e-7 and less, of which a single start vector finds one mixture. f32 finds the span of a pair, f64 the pair in it.
//!
//! How good they are is found out, not assumed. With lambda the eigenvalues of W^T W, r = ||W^T W u - lambda u|| / lambda_1 for
//! the first two, measured in f64, where u is orthogonal to what W^T W leaves (Rayleigh and Ritz):
//!
//! ```text
//! g = 1 - lambda_3 / lambda_1       the gap to what is not in the span       p = 1 - lambda_2 / lambda_1       that of the pair
//! angle to the true vector <= r_1 / g + r_1 r_2 / (g p)       out of the span (Davis and Kahan), and within it
//! sigma low by at most a part of min(r_1 / 2, r_1^2 / (2 g))       (Kato and Temple)
//! ```

use super::golden::uniform;
use super::values;
use candle_core::Tensor;
use nalgebra::{DMatrix, SymmetricEigen};
use workbench::compute::norms::samples::per_sample;
use workbench::nn::Layer;

/// Lanczos' method ends when what W^T W leaves beside the vector is this part of the eigenvalue: about what f32 allows. In
/// f64 the convolutions of 8C2F take minutes.
const RESIDUAL: f64 = 3e-6;

/// Steps at most, of two vectors. The error falls with exp(-4 steps sqrt(g)), of power iteration with exp(-2 steps p).
const STEPS: usize = 400;

/// Leading right singular vectors of a masked layer, one per sample.
pub struct Vectors {
    pub first: Tensor,
    pub second: Tensor,
    pub third: Tensor,
    /// The largest eigenvalues of W^T W, the third from above.
    pub values: Vec<[f64; 3]>,
    /// r of the first two.
    pub residuals: Vec<[f64; 2]>,
}

impl Vectors {
    /// How far the first vectors may be turned, out of the span of both and in all; 1 where nothing is known.
    fn turns(&self) -> impl Iterator<Item = (f64, f64)> {
        self.values.iter().zip(&self.residuals).map(|([first, second, third], [one, two])| {
            // With nothing to find nothing is turned.
            let part = |a: f64, b: f64| if a == 0.0 { 0.0 } else { (a / b.max(a)).min(1.0) };
            let out = part(*one, 1.0 - third / first);
            (out, (out + part(out * two, 1.0 - second / first)).min(1.0))
        })
    }

    /// How far the first vectors may be turned; 1 where nothing is known.
    pub fn angles(&self) -> Vec<f64> {
        self.turns().map(|(_, angle)| angle).collect()
    }

    /// How far below the truth a norm may lie, as a part of it, at worst.
    pub fn low(&self) -> f64 {
        self.turns().zip(&self.residuals).map(|((out, _), r)| 0.5 * r[0] * out).fold(0.0, f64::max)
    }

    /// The first vectors turned as far as they may be: towards the second ones, and towards the third ones, every other of a
    /// batch away from these, so that not all samples' errors cancel in both.
    pub fn turned(&self) -> [Tensor; 2] {
        let angles = self.angles();
        let away = angles.iter().enumerate().map(|(b, angle)| if b % 2 == 0 { *angle } else { -angle }).collect();
        [(&self.second, angles), (&self.third, away)]
            .map(|(other, angles)| (&self.first + self.scaled(other, angles)).unwrap())
    }

    /// The pair, found in f32, finished by iterations in f64, which also tell how good it is.
    pub fn finished(mut self, layer: &Layer, columns: Option<&Tensor>, rows: Option<&Tensor>) -> Self {
        let gram = |u: &Tensor| masked(layer.adjoint(&masked(layer.apply(u).unwrap(), rows)).unwrap(), columns);
        for _ in 0..2 {
            // An orthonormal basis of the span, and the eigenvectors of W^T W in it.
            let one = self.scaled(&self.first, lengths(&self.first).iter().map(|n| 1.0 / n).collect());
            let along = self.scaled(&one, products(&one, &self.second));
            let two = (&self.second - along).unwrap();
            let two = self.scaled(&two, lengths(&two).iter().map(|n| 1.0 / n).collect());
            let images = [gram(&one), gram(&two)];
            let [aa, ab, bb] = [(&one, 0), (&one, 1), (&two, 1)].map(|(u, image)| products(u, &images[image]));
            let turn: Vec<f64> =
                aa.iter().zip(&ab).zip(&bb).map(|((aa, ab), bb)| 0.5 * (2.0 * ab).atan2(aa - bb)).collect();
            let turned = |a: &Tensor, b: &Tensor, by: &dyn Fn(f64) -> (f64, f64)| {
                let (of_a, of_b) = turn.iter().map(|t| by(*t)).unzip();
                (self.scaled(a, of_a) + self.scaled(b, of_b)).unwrap()
            };
            let towards: [&dyn Fn(f64) -> (f64, f64); 2] = [&|t| (t.cos(), t.sin()), &|t| (-t.sin(), t.cos())];
            let units = towards.map(|by| turned(&one, &two, by));
            let [first, second] = towards.map(|by| turned(&images[0], &images[1], by));
            let found = [products(&units[0], &first), products(&units[1], &second)];
            let left = [(&first, 0), (&second, 1)]
                .map(|(image, i)| lengths(&(image - self.scaled(&units[i], found[i].clone())).unwrap()));
            for (b, (values, residuals)) in self.values.iter_mut().zip(&mut self.residuals).enumerate() {
                *values = [found[0][b], found[1][b], values[2]];
                *residuals = [0, 1].map(|i| if values[0] > 0.0 { left[i][b] / values[0] } else { 0.0 });
            }
            // A further iteration, and no larger residuals, for nothing.
            (self.first, self.second) = (first, second);
        }
        let length = |t: &Tensor| lengths(t).iter().map(|n| 1.0 / n.max(f64::MIN_POSITIVE)).collect();
        self.first = self.scaled(&self.first, length(&self.first));
        self.second = self.scaled(&self.second, length(&self.second));
        self
    }

    fn numbers(&self, list: Vec<f64>) -> Tensor {
        Tensor::from_vec(list, self.values.len(), self.first.device()).unwrap()
    }

    fn scaled(&self, t: &Tensor, by: Vec<f64>) -> Tensor {
        // A vector of nothing stays so.
        let by = by.into_iter().map(|by| if by.is_finite() { by } else { 0.0 }).collect();
        t.broadcast_mul(&per_sample(&self.numbers(by), t).unwrap()).unwrap()
    }
}

fn products(a: &Tensor, b: &Tensor) -> Vec<f64> {
    values(&(a * b).unwrap().flatten_from(1).unwrap().sum(1).unwrap())
}

fn lengths(t: &Tensor) -> Vec<f64> {
    products(t, t).into_iter().map(f64::sqrt).collect()
}

fn masked(t: Tensor, mask: Option<&Tensor>) -> Tensor {
    match mask {
        Some(mask) => (&t * mask.to_dtype(t.dtype()).unwrap()).unwrap(),
        None => t,
    }
}

/// The leading vectors of a masked layer in f32, of a batch, as f64.
pub fn by_lanczos(layer: &Layer, batch: usize, columns: Option<&Tensor>, rows: Option<&Tensor>) -> Vectors {
    let shape = [&[batch], layer.input.as_slice()].concat();
    let (_, device) = layer.numbers().expect("an affine layer");
    let gram = |q: &[Vec<f32>]| -> Vec<Vec<f32>> {
        let q = Tensor::from_vec(q.concat(), shape.clone(), &device).unwrap();
        let image = masked(layer.apply(&q).unwrap(), rows);
        masked(layer.adjoint(&image).unwrap(), columns).flatten_from(1).unwrap().to_vec2().unwrap()
    };
    let start = |seed| {
        let drawn = uniform(seed, &shape, -1.0, 1.0).to_device(&device).unwrap();
        masked(drawn, columns).flatten_from(1).unwrap().to_vec2::<f32>().unwrap()
    };
    let mut next = [start(11), start(12)];
    let mut spaces: Vec<Space> = (0..batch).map(|_| Space::default()).collect();
    for (b, space) in spaces.iter_mut().enumerate() {
        let [one, two] = &mut next;
        space.open([&mut one[b], &mut two[b]]);
    }
    // A sample that has settled is left as it is.
    let mut found: Vec<Option<Ritz>> = (0..batch).map(|_| None).collect();
    let steps = STEPS.min(layer.input_len() / 2).max(1);
    for step in 1..=steps {
        let mut images = [gram(&next[0]), gram(&next[1])];
        for (b, (space, found)) in spaces.iter_mut().zip(&mut found).enumerate().filter(|(_, (_, f))| f.is_none()) {
            let [one, two] = &mut images;
            space.extend([next[0][b].clone(), next[1][b].clone()], [&mut one[b], &mut two[b]]);
            if step % 20 == 0 || step == steps {
                *found = Some(space.largest()).filter(|ritz| ritz.settled() || step == steps);
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
        next = images;
    }
    let found: Vec<Ritz> = found.into_iter().map(|ritz| ritz.expect("the last step leaves none")).collect();
    let vectors = |which: usize| {
        let all = found.iter().zip(&spaces).flat_map(|(ritz, space)| space.vector(&ritz.weights[which]));
        Tensor::from_vec(all.collect::<Vec<f64>>(), shape.clone(), &device).unwrap()
    };
    Vectors {
        first: vectors(0),
        second: vectors(1),
        third: vectors(2),
        // A Ritz value lies below an eigenvalue, by no more than its residual.
        values: found
            .iter()
            .map(|r| [r.values[0], r.values[1], (r.values[2] + r.residuals[2]).min(r.values[0])])
            .collect(),
        residuals: found.iter().map(|r| [0, 1].map(|i| r.residuals[i] / r.values[0].max(f64::MIN_POSITIVE))).collect(),
    }
}

/// One sample's orthonormal basis, the matrix of W^T W in it, by columns down to the diagonal, and how the last two images go on.
#[derive(Default)]
struct Space {
    basis: Vec<Vec<f32>>,
    matrix: Vec<Vec<f64>>,
    beside: [f64; 3],
}

impl Space {
    /// Make the two start vectors orthonormal.
    fn open(&mut self, [one, two]: [&mut Vec<f32>; 2]) {
        normalise(one, 0.0);
        let along = dot(two, one);
        two.iter_mut().zip(&*one).for_each(|(t, o)| *t -= along as f32 * o);
        normalise(two, 0.0);
    }

    /// Take two vectors in; their images become the next two.
    fn extend(&mut self, taken: [Vec<f32>; 2], [one, two]: [&mut Vec<f32>; 2]) {
        self.basis.extend(taken);
        let n = self.basis.len();
        for (image, rows) in [(&mut *one, n - 1), (&mut *two, n)] {
            let mut column = vec![0.0; n];
            // What is small beside the parts taken out of it is theirs as much as new, and is cleaned once more.
            for _ in 0..2 {
                let before = dot(image, image);
                // The newest first: its part is the large one, and its rounding is then taken out with the older ones.
                for (i, earlier) in self.basis.iter().enumerate().rev() {
                    let along = dot(image, earlier);
                    column[i] += along;
                    image.iter_mut().zip(earlier).for_each(|(i, e)| *i -= along as f32 * e);
                }
                if dot(image, image) > 0.01 * before {
                    break;
                }
            }
            column.truncate(rows);
            self.matrix.push(column);
        }
        // The map has no more directions where only rounding is left.
        let least = 1e-6 * (0..n).map(|i| self.matrix[i][i]).fold(0.0, f64::max);
        let own = normalise(one, least);
        let along = dot(two, one);
        two.iter_mut().zip(&*one).for_each(|(t, o)| *t -= along as f32 * o);
        self.beside = [own, along, normalise(two, least)];
    }

    fn largest(&self) -> Ritz {
        let n = self.basis.len();
        let eigen = SymmetricEigen::new(DMatrix::from_fn(n, n, |i, j| self.matrix[i.max(j)][i.min(j)]));
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let weights = [0, 1, 2].map(|i| match order.get(i) {
            Some(at) => eigen.eigenvectors.column(*at).iter().copied().collect(),
            None => vec![0.0; n],
        });
        let [aa, ab, bb] = self.beside;
        Ritz {
            values: [0, 1, 2].map(|i| order.get(i).map_or(0.0, |at| eigen.eigenvalues[*at])),
            residuals: [0, 1, 2].map(|i: usize| {
                let (a, b) = (weights[i][n - 2], weights[i][n - 1]);
                (aa * a + ab * b).hypot(bb * b)
            }),
            weights,
        }
    }

    fn vector(&self, weights: &[f64]) -> Vec<f64> {
        let mut vector = vec![0.0; self.basis[0].len()];
        for (weight, q) in weights.iter().zip(&self.basis) {
            vector.iter_mut().zip(q).for_each(|(v, q)| *v += weight * f64::from(*q));
        }
        vector
    }
}

/// The three largest eigenvalues in a space, 0 where there is none, their eigenvectors, and what W^T W leaves beside these.
struct Ritz {
    values: [f64; 3],
    weights: [Vec<f64>; 3],
    residuals: [f64; 3],
}

impl Ritz {
    /// Have the first and a close second converged, and the third so far that its gap is known?
    fn settled(&self) -> bool {
        let ([first, second, third], [one, two, three]) = (self.values, self.residuals);
        let fine = RESIDUAL * first;
        one <= fine && (two <= 3.0 * fine || two <= 0.1 * (first - second)) && three <= 0.2 * (first - third)
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

/// Scale to length 1; the length that was. What is no longer than `least` becomes zero.
fn normalise(vector: &mut [f32], least: f64) -> f64 {
    let length = dot(vector, vector).sqrt();
    vector.iter_mut().for_each(|v| *v = if length > least { (f64::from(*v) / length) as f32 } else { 0.0 });
    length
}
