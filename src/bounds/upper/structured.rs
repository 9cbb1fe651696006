//! Upper bounds on the norms of maps that have no dense form, from what they are made of
//!
//! ```text
//! frequencies    y = R Q[f] F x, transforms that keep norms, padding and crops that lengthen nothing:
//!                ||W||^2 <= max_f ||Q^T Q||_inf                  real forms; the infinity norm of a symmetric matrix bounds its norm
//! exponential    p(K) = sum_(m <= t) K^m / m!, K skew-symmetric, so normal, with eigenvalues i l, |l| <= b, b >= ||K||:
//!                ||p(K)|| = max |p(i l)| <= max over [0, b] of |p(i l)|,   p(-i l) being conjugate
//! ```
//!
//! Rounding. A computed entry of `Q^T Q` is off by at most `gamma(rows + 2)` of that of `|Q|^T |Q|`, whose row sums are found as
//! `|Q|^T (|Q| 1)`; sums of positive numbers are raised. A grid of [`STEPS`] on [0, b] misses the maximum by at most half a step times
//! `|p'| <= e^b`; a value on it is off by at most `gamma(4 t + 8) e^b`. Matrices that are next to orthogonal have bounds next to 1.

use super::cholesky;
use super::circulant;
use super::found::{Found, root};
use super::lanczos::Stream;
use super::masked::{Map, Masks};
use super::rounding::{gamma, raised};
use crate::base::random::Key;
use crate::compute::conv::Window;
use crate::nn::layers::Structure;
use candle_core::{D, DType, Device, Result, Tensor, bail};
use gemm::Parallelism;

/// Steps of the grid.
const STEPS: usize = 1 << 20;

/// Operations of a factorisation above which frequencies are taken for the norm of K.
const LIMIT: f64 = 1e11;

/// The bound.
pub fn bound(structure: &Structure, tolerance: f64) -> Result<Found> {
    match structure {
        Structure::Frequencies(spectrum) => frequencies(spectrum),
        Structure::Exponential { kernel, image, terms } => exponential(kernel, *image, *terms, tolerance),
    }
}

fn frequencies(spectrum: &Tensor) -> Result<Found> {
    let q = spectrum.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let (_, rows, columns) = q.dims3()?;
    // On the smaller side.
    let q = if rows < columns { q.t()?.contiguous()? } else { q };
    let (rows, columns) = (rows.max(columns), rows.min(columns));
    let turned = q.t()?.contiguous()?;
    let sums = turned.matmul(&q)?.abs()?.sum(D::Minus1)?;
    let sizes = q.abs()?;
    let errors = turned.abs()?.matmul(&sizes.sum_keepdim(D::Minus1)?)?.squeeze(2)?;
    let all = (sums + (errors * raised(gamma(rows + 2), rows + columns + 4))?)?;
    let numbers = all.flatten_all()?.to_vec1::<f64>()?;
    let most = numbers.into_iter().fold(0.0, |m: f64, x| if x.is_nan() || x > m { x } else { m });
    Ok(Found { upper: root(raised(most, columns + 4)), lower: 0.0, steps: 0 })
}

fn exponential(kernel: &Tensor, image: [usize; 3], terms: usize, tolerance: f64) -> Result<Found> {
    let kernel = kernel.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    skew(&kernel)?;
    let window = Window::new(1, kernel.dim(3)? / 2);
    let Some(map) = Map::convolution(&kernel, &image, &image, window)? else {
        return Ok(Found { upper: f64::NAN, lower: f64::NAN, steps: 0 });
    };
    let super::masked::Kind::Conv(g) = &map.kind else { bail!("norm_bound: a convolution is wanted") };
    let whole = Masks::default();
    let found = if map.holder == 0.0 {
        Found { upper: 0.0, lower: 0.0, steps: 0 }
    } else if cholesky::cost(&map, whole).1 > LIMIT {
        circulant::fourier(&map, g, tolerance)?
    } else {
        // The start vector changes the time that this takes, not its truth.
        let stream = Stream { key: Key::of_seed(0), sample: 0, layer: 0, turn: 0 };
        cholesky::factor(&map, whole, tolerance, stream, Parallelism::Rayon(0))?
    };
    let b = raised(found.upper * map.unit, 2);
    Ok(Found { upper: polynomial(b, terms), lower: 0.0, steps: found.steps })
}

/// An error unless the kernel's map is the exact negative of its adjoint.
fn skew(kernel: &Tensor) -> Result<()> {
    let (c, other, k, width) = kernel.dims4()?;
    let w = kernel.flatten_all()?.to_vec1::<f64>()?;
    let square = k * width;
    let is_skew = c == other
        && k == width
        && !k.is_multiple_of(2)
        && (0..c * c * square).all(|at| {
            let (t, i, o) = (at % square, at / square % c, at / square / c);
            // A NaN is the bound's to tell.
            let (own, turned) = (w[at], w[(i * c + o) * square + square - 1 - t]);
            own == -turned || own.is_nan()
        });
    if is_skew { Ok(()) } else { bail!("norm_bound: the kernel of an exponential is to be skew-symmetric") }
}

/// `max |sum_(m <= terms) (i l)^m / m!|` over l from 0 to b, or more.
fn polynomial(b: f64, terms: usize) -> f64 {
    let most = b.exp() * (1.0 + 1e-12);
    if !most.is_finite() || most > 1e6 {
        return most;
    }
    let step = b / STEPS as f64;
    let value = |at: usize| {
        let l = at as f64 * step;
        let (mut re, mut im, mut term) = (1.0f64, 0.0f64, 1.0f64);
        for m in 1..=terms {
            term *= l / m as f64;
            match m % 4 {
                0 => re += term,
                1 => im += term,
                2 => re -= term,
                _ => im -= term,
            }
        }
        re.hypot(im)
    };
    let peak = (0..=STEPS).map(value).fold(0.0, f64::max);
    // The grid's own places are off by a rounding or two.
    raised(peak + most * (step * (0.5 + 1e-9) + gamma(4 * terms + 8) + 4.0 * b * f64::EPSILON), 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_exponential_is_bounded_from_above_and_closely() {
        for (b, terms) in [(0.0, 3), (1.0, 1), (2.1, 5), (2.1, 12), (0.5, 0)] {
            let bound = polynomial(b, terms);
            let at = |l: f64| {
                let term = |m: usize| (1..=m).fold(1.0, |p, j| p * l / j as f64);
                let part = |odd: usize| {
                    (0..=terms).filter(|m| m % 2 == odd).map(|m| if m % 4 < 2 { term(m) } else { -term(m) }).sum()
                };
                let (re, im): (f64, f64) = (part(0), part(1));
                re.hypot(im)
            };
            let peak = (0..=1000).map(|i| at(b * f64::from(i) / 1000.0)).fold(0.0, f64::max);
            assert!(bound >= peak && bound <= peak + 1e-4, "{b} {terms}: {bound} {peak}");
        }
        assert!(polynomial(100.0, 5) > 1e40 && polynomial(f64::NAN, 5).is_nan());
    }
}
