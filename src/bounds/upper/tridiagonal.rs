//! Lanczos' three-term recurrence on a positive semidefinite matrix G, and what it proves of the largest eigenvalue
//!
//! ```text
//! beta_j v_{j+1} = G v_j - alpha_j v_j - beta_{j-1} v_{j-1} - e_j         v_0 a random unit vector
//! x_j = u . v_j, G u = lambda u:      beta_j x_{j+1} = (lambda - alpha_j) x_j - beta_{j-1} x_{j-1} - u . e_j
//! x_k = p_k(lambda) x_0 + what the e_j give,    |x_k| <= 1
//! |x_0| <= 1 / p_k(lambda) + sum_j |e_j| sum_{m>=j} p_j / (beta_m p_m p_{m+1})
//! ```
//!
//! p_j are the polynomials of the recurrence, p_0 = 1. So if an eigenvalue lay at or above mu, where all p_j(mu) > 0,
//! the start vector would have had next to no part of its eigenvector, x_0, and a vector drawn uniformly from the
//! sphere in n dimensions has |x_0| <= d with probability at most d sqrt(2 n / pi). This is van Dorsselaer,
//! Hochstenbach and van der Vorst, "Computing probabilistic bounds for extreme eigenvalues of symmetric matrices with
//! the Lanczos method" (2000), with the rounding errors e_j carried along; the bound of Kuczynski and Wozniakowski
//! (1992, theorem 4.2) follows from it by taking the worst spectrum in place of the recurrence at hand. It needs no
//! orthogonality of the v_j beyond that of neighbours, so nothing is orthogonalised again; and since the event is one
//! about x_0 alone, looking at the bound after every step costs nothing.

/// The coefficients of the recurrence.
#[derive(Clone, Debug, Default)]
pub struct Tridiagonal {
    pub alpha: Vec<f64>,
    /// `beta[j]` leads from `v_j` to `v_{j+1}`: as long as `alpha`.
    pub beta: Vec<f64>,
}

impl Tridiagonal {
    /// What bounds `|x_0|` if an eigenvalue lies at or above `mu` (1 + 1e-12: the pivots computed here are those of a matrix and a mu
    /// that differ by some units of rounding); `None` where `mu` is not above the largest Ritz value, so
    /// that nothing is known. `error` bounds the norm of each e_j.
    pub fn part(&self, mu: f64, error: f64) -> Option<f64> {
        // d_m = beta_m p_{m+1} / p_m, the pivots of mu I - T.
        let (mut p, mut sum, mut spread, mut d) = (1.0f64, 0.0, 0.0, f64::INFINITY);
        for j in 0..self.alpha.len() {
            let back = if j == 0 { 0.0 } else { self.beta[j - 1] * self.beta[j - 1] / d };
            d = mu - self.alpha[j] - back;
            if d <= 0.0 || d.is_nan() {
                return None;
            }
            sum += p;
            spread += sum / (d * p * p);
            p *= d / self.beta[j];
            if p > 1e100 {
                // Beyond any use; later terms of the spread are as small.
                break;
            }
        }
        // The vectors have length 1 but for rounding.
        Some(1.000_001 / p + error * spread)
    }

    /// The largest Ritz value, from below: at most the largest eigenvalue, but for rounding. `top` lies above it.
    pub fn ritz(&self, top: f64) -> f64 {
        bisect(0.0, top, |mu| self.part(mu, 0.0).is_some()).0
    }

    /// A number that the largest eigenvalue exceeds only if `|x_0| <= part`; at most `top`, which is a bound already.
    pub fn upper(&self, part: f64, error: f64, top: f64) -> f64 {
        let holds = |mu: f64| self.part(mu, error).is_some_and(|x| x <= part);
        if holds(top) { bisect(0.0, top, holds).1 } else { top }
    }
}

/// The numbers around the place where `holds` turns true, once.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> (f64, f64) {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if high - low <= 1e-13 * high || middle <= low || middle >= high {
            break;
        }
        if holds(middle) { high = middle } else { low = middle }
    }
    (low, high)
}

/// Lanczos' iteration in progress.
pub struct Lanczos {
    previous: Vec<f64>,
    current: Vec<f64>,
    next: Vec<f64>,
    pub found: Tridiagonal,
}

impl Lanczos {
    /// From a start vector of any length but 0 or NaN; `None` for those.
    pub fn new(start: Vec<f64>) -> Option<Self> {
        let norm = norm(&start);
        if !(norm > 0.0 && norm.is_finite()) {
            return None;
        }
        let n = start.len();
        let current = start.into_iter().map(|x| x / norm).collect();
        Some(Self { previous: vec![0.0; n], current, next: vec![0.0; n], found: Tridiagonal::default() })
    }

    /// One more step with `apply(x, y)`: y = G x. `false` once the vectors span all that the start vector reaches: there is
    /// no further step.
    pub fn step(&mut self, mut apply: impl FnMut(&[f64], &mut [f64])) -> bool {
        let last = self.found.beta.last().copied();
        if last == Some(0.0) {
            return false;
        }
        apply(&self.current, &mut self.next);
        let beta = last.unwrap_or(0.0);
        self.next.iter_mut().zip(&self.previous).for_each(|(w, v)| *w -= beta * v);
        let alpha = dot(&self.next, &self.current);
        self.next.iter_mut().zip(&self.current).for_each(|(w, v)| *w -= alpha * v);
        let length = norm(&self.next);
        if length > 0.0 {
            self.next.iter_mut().for_each(|w| *w /= length);
        }
        self.found.alpha.push(alpha);
        self.found.beta.push(length);
        std::mem::swap(&mut self.previous, &mut self.current);
        std::mem::swap(&mut self.current, &mut self.next);
        length > 0.0
    }
}

/// A sum in eight interleaved parts, always in the same order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        (0..8).for_each(|k| sums[k] += a[k] * b[k]);
    }
    sums.iter().sum::<f64>() + rest
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;

    /// G diagonal with these eigenvalues; the last is the largest.
    fn run(eigenvalues: &[f64], start: &[f64], steps: usize) -> Tridiagonal {
        let mut lanczos = Lanczos::new(start.to_vec()).expect("a start vector");
        for _ in 0..steps {
            let go_on =
                lanczos.step(|x, y| y.iter_mut().zip(x.iter().zip(eigenvalues)).for_each(|(y, (x, l))| *y = x * l));
            if !go_on {
                break;
            }
        }
        lanczos.found
    }

    #[test]
    fn the_start_vector_had_no_more_of_the_eigenvector_than_is_said() {
        let random = Generator::new(3);
        for case in 0..200 {
            let n = 3 + case % 40;
            let mut eigenvalues: Vec<f64> = (0..n).map(|_| random.unit()).collect();
            eigenvalues.sort_by(f64::total_cmp);
            let largest = eigenvalues[n - 1];
            // A part of the largest eigenvector that shrinks down to what rounding gives.
            let mut start: Vec<f64> = (0..n).map(|_| random.gauss()).collect();
            start[n - 1] *= 10f64.powi(-((case % 16) as i32));
            let length = start.iter().map(|x| x * x).sum::<f64>().sqrt();
            let actual = (start[n - 1] / length).abs();
            for steps in [1, 2, 5, 10, 30] {
                let found = run(&eigenvalues, &start, steps);
                // The eigenvalue is what is claimed to be there. The pivots' own rounding moves mu by a few units, for which
                // `probable` allows 1e-12.
                if let Some(part) = found.part(largest * (1.0 - 1e-12), 1e-15) {
                    assert!(actual <= part * (1.0 + 1e-6), "case {case}, {steps} steps: {actual:e} > {part:e}");
                }
                let ritz = found.ritz(2.0);
                assert!(ritz <= largest * (1.0 + 1e-12), "{ritz} {largest}");
            }
        }
    }

    #[test]
    fn bounds_close_in_and_a_breakdown_is_exact() {
        let random = Generator::new(4);
        let eigenvalues: Vec<f64> = (0..300).map(|i| f64::from(i) / 299.0).collect();
        let start: Vec<f64> = (0..300).map(|_| random.gauss()).collect();
        let mut last = f64::INFINITY;
        for steps in [10, 40, 80, 160, 250] {
            let upper = run(&eigenvalues, &start, steps).upper(1e-8, 1e-15, 10.0);
            assert!(upper >= 1.0 && upper <= last, "{upper} after {steps} steps, {last} before");
            last = upper;
        }
        assert!(last < 1.0005, "{last}");
        // One eigenvector alone: its eigenvalue is known after one step.
        let found = run(&[1.0, 2.0, 4.0], &[0.0, 1.0, 0.0], 5);
        assert!((found.upper(1e-8, 0.0, 10.0) - 2.0).abs() < 1e-9);
    }
}
