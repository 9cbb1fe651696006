//! Power iteration with products in bf16: in software, so that any processor can run it, and where it may leave sigma
//!
//! bf16 holds 8 significant bits: a number is off by a part of up to h = 2^-9, h / sqrt(3) in the mean. The iterations round
//! the weights, once, and the vectors, in each iteration; sums are f32's, whose rounding is nothing beside that.
//!
//! What sigma = ||W^T v|| lost of the norm s, for a unit vector v, is a squared seminorm, so that the triangle inequality
//! holds for its root:
//!
//! ```text
//! q(v) = v . (1 - W W^T / s^2) v = 1 - sigma^2 / s^2           |sqrt q(bf16) - a sqrt q(exact)| <= sqrt F
//! ```
//!
//! a is how much longer than the vector of bf16 the exactly iterated one has become, if neither is ever scaled. F is q of what
//! the roundings add up to: one of relative size e in iteration k is, at the end of n, of size e g_k c_(n-k). g_k is how much
//! longer bf16's vector was before that iteration, in units of s, and B = W^T W / s^2 damps it:
//!
//! ```text
//! c_m = max of sqrt(1 - t) t^m over the eigenvalues t < 1 of B, 0 <= t <= (s_2 / s)^2
//! sqrt F = l e_w sum g_k c_(n-k) + l e_v sqrt(sum g_k^2 c_(n-k)^2)
//! e_w = h / sqrt(3) sqrt(r^2 + c^2) / s        e_v = h sqrt(2 / 3)
//! ```
//!
//! The weights' roundings are the same in each iteration and add up (worst case); within one product they are independent (a
//! random walk over its terms), so that a vector's image is off by the root of the sum of squares: r and c are the largest
//! norms of a row and a column. The vectors' roundings are independent from iteration to iteration. l is two
//! standard deviations, three for kernels of fewer than a thousand weights, whose errors hardly average out.

use super::values;
use candle_core::{DType, Tensor};
use workbench::compute::norms::samples::{normalize_samples, sample_norms};
use workbench::nn::Layer;
use workbench::nn::layers::Dense;

/// Half a unit in the last of bf16's 8 bits.
const HALF: f64 = 1.0 / 512.0;

/// A convolution in f32 with its masks, for iterations by hand.
pub struct Masked<'a> {
    pub layer: &'a Layer,
    pub columns: Option<&'a Tensor>,
    pub rows: Option<&'a Tensor>,
}

/// What iterations lead to, per sample.
pub struct Iterated {
    pub sigma: Vec<f64>,
    /// The norm of `W^T W u`, u of norm 1, by iteration.
    growth: Vec<Vec<f64>>,
}

impl Masked<'_> {
    fn forward(&self, layer: &Layer, u: &Tensor) -> Tensor {
        masked(layer.apply(u).unwrap(), self.rows)
    }

    fn adjoint(&self, layer: &Layer, v: &Tensor) -> Tensor {
        masked(layer.adjoint(v).unwrap(), self.columns)
    }

    /// Iterations in f32.
    pub fn exact(&self, start: &Tensor, iterations: usize) -> Iterated {
        self.iterate(start, iterations, self.layer, |t| t)
    }

    /// Iterations in bf16, as `bounds/norm/direct` has them: all products but the last.
    pub fn in_bf16(&self, start: &Tensor, iterations: usize) -> Iterated {
        self.iterate(start, iterations, &with_weight(self.layer, half), |t| half(&t))
    }

    fn iterate(&self, start: &Tensor, iterations: usize, layer: &Layer, round: fn(Tensor) -> Tensor) -> Iterated {
        let mut u = round(unit(&masked(start.clone(), self.columns)));
        let mut found = Iterated { sigma: vec![], growth: vec![] };
        for done in 1..=iterations {
            let image = self.forward(layer, &u);
            let v = round(unit(&image));
            let back = if done < iterations { self.adjoint(layer, &v) } else { self.adjoint(self.layer, &unit(&v)) };
            found.sigma = values(&sample_norms(&back).unwrap());
            let lengths = values(&sample_norms(&image).unwrap());
            found.growth.push(lengths.iter().zip(&found.sigma).map(|(a, b)| a * b).collect());
            u = round(unit(&back));
        }
        found
    }

    /// Between which ends bf16 iterations may leave sigma, per sample; `norms` are the two largest singular values.
    pub fn ends(&self, exact: &Iterated, half: &Iterated, norms: &[[f64; 2]]) -> Vec<[f64; 2]> {
        // Squares of the norms of rows and columns: the map with its weights squared, applied to the masks.
        let squared = with_weight(self.layer, |w| w.sqr().unwrap());
        let ones = |shape: &[usize]| {
            let shape = [&[norms.len()], shape].concat();
            Tensor::ones(shape, DType::F32, &self.layer.numbers().unwrap().1).unwrap()
        };
        let largest = |t: Tensor| values(&t.flatten_from(1).unwrap().max(1).unwrap());
        let rows = largest(self.forward(&squared, &masked(ones(&self.layer.input), self.columns)));
        let columns = largest(self.adjoint(&squared, &masked(ones(&self.layer.output), self.rows)));
        let weights = self.layer.weight().map_or(0, Tensor::elem_count);
        let deviations = if weights < 1000 { 3.0 } else { 2.0 };
        let one = |(b, [first, second]): (usize, &[f64; 2])| {
            let square = first * first;
            let of_weights = HALF / 3f64.sqrt() * (rows[b] + columns[b]).sqrt() / first;
            let of_vectors = HALF * (2f64 / 3.0).sqrt();
            let (mut length, mut longer, mut sum, mut squares) = (1.0, 1.0, 0.0, 0.0);
            for (m, (growth, exact)) in half.growth.iter().zip(&exact.growth).rev().enumerate() {
                length *= square / growth[b];
                longer *= exact[b] / growth[b];
                let part = length * damped(m, second * second / square);
                sum += part;
                squares += part * part;
            }
            let root = deviations * (of_weights * sum + of_vectors * f64::sqrt(squares));
            // Roots of q; it is below 0 by rounding alone.
            let lost = longer * (1.0 - (exact.sigma[b] / first).powi(2)).max(0.0).sqrt();
            let left = |lost: f64| first * (1.0 - lost * lost).max(0.0).sqrt();
            [left(lost + root), left((lost - root).max(0.0))]
        };
        norms.iter().enumerate().map(one).collect()
    }
}

/// c_m, for eigenvalues up to `second`.
fn damped(m: usize, second: f64) -> f64 {
    let t = (2.0 * m as f64 / (2.0 * m as f64 + 1.0)).min(second);
    (1.0 - t).sqrt() * t.powi(m as i32)
}

fn half(t: &Tensor) -> Tensor {
    t.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap()
}

fn unit(t: &Tensor) -> Tensor {
    normalize_samples(t).unwrap().0
}

fn masked(t: Tensor, mask: Option<&Tensor>) -> Tensor {
    match mask {
        Some(mask) => (&t * mask.to_dtype(t.dtype()).unwrap()).unwrap(),
        None => t,
    }
}

fn with_weight(layer: &Layer, change: impl Fn(&Tensor) -> Tensor) -> Layer {
    let (weight, bias) = match layer.frozen().dense() {
        Some(Dense::Convolution { weight, bias, .. } | Dense::Matrix { weight, bias, .. }) => (weight, bias),
        other => panic!("no weight: {other:?}"),
    };
    let parameters = [Some(("weight", change(&weight))), bias.map(|bias| ("bias", bias))];
    layer.with_parameters(&parameters.into_iter().flatten().collect::<Vec<_>>()).unwrap()
}
