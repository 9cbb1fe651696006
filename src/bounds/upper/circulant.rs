//! A rigorous upper bound on the norm of a zero-padded, strided convolution, without masks: the largest norm over the
//! frequencies of a circular convolution that contains it
//!
//! ```text
//! y[t] = sum over phases q, taps a:  w_a,q x_q[t + a]       x_q[i] = x[s i + q]:  s^2 c_in channels, kernel ceil(k / s)
//! ||W|| <= max_f ||K(f)||,   K(f) = sum_a w_a exp(-2 pi i a.f / N),   N >= max(outputs + a_max, inputs - a_min)
//! ```
//!
//! On a grid of side N no tap wraps around, so the layer is a part of the circular map and its norm no larger. For each
//! frequency `S^2 I - K^* K` is shown to be positive definite by a Cholesky factorisation (the real form of twice the size), with
//! rounding accounted for as in `factor`. Masks can only lower a norm, so the bound holds for every sample.
//!
//! Rounding of `K^* K`: an angle is a fraction of a turn with two roundings, at most 7 u off; sine and cosine add an ulp each, their
//! products and the sum 3 u more: some 24 u for a tap's factor, real and imaginary part together; the sum over taps and the
//! products of four terms add one u each. Against `|K|` entry by entry, whose norm squared is at most Hoelder's bound, that is
//! below `4 gamma(taps + 64 + 4 channels)`.

use super::found::{Found, root};
use super::masked::Map;
use super::rounding::{UNIT, gamma, raised};
use super::tridiagonal::Lanczos;
use crate::base::interrupt;
use crate::base::random::Generator;
use crate::compute::cholesky::{Banded, positive};
use crate::compute::conv::Geometry;
use candle_core::Result;
use gemm::Parallelism;
use rayon::prelude::*;

/// `K^* K` or `K K^*` at one frequency, in real form.
struct Frequency {
    sizes: [usize; 1],
    values: Vec<f64>,
}

impl Banded for Frequency {
    fn sizes(&self) -> &[usize] {
        &self.sizes
    }
    fn reach(&self) -> usize {
        0
    }
    fn block_row(&self, _: usize) -> Vec<Vec<f64>> {
        vec![self.values.clone()]
    }
}

/// Where a tap reads along one axis: a phase, and a place in it.
type Place = (usize, i64);

/// The taps of one axis as (phase, place): tap d of stride s with padding p reads `s place + phase`.
fn places(taps: usize, stride: usize, padding: usize) -> Vec<Place> {
    let at = |d: usize| (d as i64 - padding as i64, stride as i64);
    (0..taps).map(at).map(|(d, s)| (d.rem_euclid(s) as usize, d.div_euclid(s))).collect()
}

/// The side of the grid along one axis.
fn side(places: &[Place], input: usize, output: usize, stride: usize) -> usize {
    let (low, high) = places.iter().fold((0, 0), |(low, high): (i64, i64), (_, a)| (low.min(*a), high.max(*a)));
    let inputs = input.div_ceil(stride) as i64;
    (output as i64 + high).max(inputs - low).max(1) as usize
}

/// The bound on the norm of the scaled map, up to about `tolerance` above that of the circular one.
pub fn fourier(map: &Map, g: &Geometry, tolerance: f64) -> Result<Found> {
    let (kh, kw) = g.kernel;
    let stride = g.window.stride;
    let (ys, xs) = (places(kh, stride, g.window.padding), places(kw, stride, g.window.padding));
    let grid = (side(&ys, g.input.0, g.output.0, stride), side(&xs, g.input.1, g.output.1, stride));
    // Real weights: a frequency and its negative have the same norm.
    let frequencies: Vec<(usize, usize)> =
        (0..grid.0).flat_map(|fy| (0..=grid.1 / 2).map(move |fx| (fy, fx))).collect();
    let at = |f: &(usize, usize)| matrix(map, g, (&ys, &xs), grid, *f);
    let tops: Result<Vec<f64>> = frequencies
        .par_iter()
        .map(|f| {
            interrupt::check()?;
            Ok(top(&at(f), tolerance))
        })
        .collect();
    let mut shift = tops?.into_iter().fold(0.0, f64::max) * (1.0 + 2.0 * tolerance);
    // Twice the smaller side, for the real form.
    let wide = 2 * g.channels_out.min(g.channels_in * stride * stride);
    let own = gamma(wide + 4);
    let relative = raised(own / (1.0 - own) * wide as f64 + UNIT, 4);
    // Sums of taps, each with the rounding of sine and cosine, then products of four terms for each pair.
    let terms = kh * kw + 64 + 4 * g.channels_out.max(g.channels_in * stride * stride);
    let absolute = raised(4.0 * gamma(terms) * map.holder, 4);
    let mut open = frequencies;
    loop {
        if shift >= map.holder || shift.is_nan() {
            return Ok(Found { upper: root(map.holder), lower: 0.0, steps: 0 });
        }
        let failed: Result<Vec<Option<(usize, usize)>>> =
            open.par_iter().map(|f| Ok((!positive(&at(f), shift, Parallelism::None)?).then_some(*f))).collect();
        // What is below a shift is below a larger one.
        open = failed?.into_iter().flatten().collect();
        if open.is_empty() {
            return Ok(Found { upper: root(shift * (1.0 + relative) + absolute), lower: 0.0, steps: 0 });
        }
        shift = if shift > 0.0 { shift * (1.0 + 2.0 * tolerance) } else { map.holder * 1e-12 };
    }
}

/// Nearly the largest eigenvalue: a start for the proof, itself no proof.
fn top(matrix: &Frequency, tolerance: f64) -> f64 {
    let n = matrix.sizes[0];
    let random = Generator::new(17);
    let Some(mut lanczos) = Lanczos::new((0..n).map(|_| random.gauss()).collect()) else { return 0.0 };
    let trace: f64 = (0..n).map(|i| matrix.values[i * n + i]).sum();
    let mut last = 0.0;
    for step in 1..=100 {
        let more = lanczos.step(|x, y| {
            y.fill(0.0);
            for (column, x) in matrix.values.chunks_exact(n).zip(x) {
                y.iter_mut().zip(column).for_each(|(y, a)| *y += a * x);
            }
        });
        if !more || step % 4 == 0 {
            let now = lanczos.found.ritz(trace * (1.0 + 1e-9));
            if !more || now <= last * (1.0 + 0.05 * tolerance) {
                return now;
            }
            last = now;
        }
    }
    last
}

/// The Gram matrix of `K(f)` on its smaller side, as `[[X, -Y], [Y, X]]`.
fn matrix(
    map: &Map,
    g: &Geometry,
    (ys, xs): (&[Place], &[Place]),
    grid: (usize, usize),
    f: (usize, usize),
) -> Frequency {
    let (stride, outputs) = (g.window.stride, g.channels_out);
    let inputs = g.channels_in * stride * stride;
    let wave = |a: i64, f: usize, n: usize| {
        // Reduced before it is an angle, so that the angle is small and exact but for one rounding.
        let turn = (a * f as i64).rem_euclid(n as i64) as f64 / n as f64;
        (std::f64::consts::TAU * turn).sin_cos()
    };
    // K, row by row, real and imaginary parts.
    let (mut re, mut im) = (vec![0.0; outputs * inputs], vec![0.0; outputs * inputs]);
    for (dy, (qy, ay)) in ys.iter().enumerate() {
        for (dx, (qx, ax)) in xs.iter().enumerate() {
            let ((s1, c1), (s2, c2)) = (wave(*ay, f.0, grid.0), wave(*ax, f.1, grid.1));
            let (cos, sin) = (c1 * c2 - s1 * s2, -(s1 * c2 + c1 * s2));
            for o in 0..outputs {
                for c in 0..g.channels_in {
                    let w = map.weight[((o * g.channels_in + c) * ys.len() + dy) * xs.len() + dx];
                    let to = o * inputs + (c * stride + qy) * stride + qx;
                    re[to] += w * cos;
                    im[to] += w * sin;
                }
            }
        }
    }
    let (m, k, row, step) = if outputs <= inputs { (outputs, inputs, inputs, 1) } else { (inputs, outputs, 1, inputs) };
    let mut values = vec![0.0; 4 * m * m];
    for a in 0..m {
        for b in 0..=a {
            let (mut x, mut y) = (0.0, 0.0);
            for t in 0..k {
                let (p, q) = (a * row + t * step, b * row + t * step);
                x += re[p] * re[q] + im[p] * im[q];
                y += im[p] * re[q] - re[p] * im[q];
            }
            let n = 2 * m;
            for (r, c, v) in [(a, b, x), (b, a, x), (a, m + b, -y), (b, m + a, y)] {
                values[c * n + r] = v;
                let (r2, c2, v2) = if c < m { (r + m, c + m, v) } else { (c, r, v) };
                values[c2 * n + r2] = v2;
            }
        }
    }
    Frequency { sizes: [2 * m], values }
}
