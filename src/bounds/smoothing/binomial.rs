//! What counted votes say of a probability: the Clopper-Pearson bound from below, and the test against 1/2
//!
//! ```text
//! T(p) = P[Bin(n, p) >= k] = sum_{i >= k} C(n, i) p^i (1 - p)^(n - i)      increasing in p, at least 1/2 at p = k / n
//! lower bound:  the largest p <= k / n with T(p) <= alpha                   the alpha quantile of Beta(k, n - k + 1)
//! p-value:      2 P[Bin(n, 1/2) >= max(a, n - a)], at most 1
//! ```
//!
//! T is summed from its first term on, each further one times (n - i) / (i + 1) p / (1 - p). The first is taken apart, so that no
//! large numbers cancel (d = k - n p, one rounding; r(m) = ln m! less Stirling's formula):
//!
//! ```text
//! ln term = 1/2 ln(n / (2 pi k (n - k))) + r(n) - r(k) - r(n - k) + k ln(1 - d / k) + (n - k) ln(1 + d / (n - k))
//! ```
//!
//! **Never upward.** [`tail`] is above T: what rounding can have lost is added, in units of u = 2^-53
//!
//! ```text
//! 16 (|d| + |a| + |b|)     a, b the last two summands, whose arguments are exact to 2 u
//! 4 |head| + 512           the first summand, and r, which is below 16 taken from ln m! <= 45
//! 4 terms + 16             one product and one sum each; exp
//! ```
//!
//! and the rest of the sum, below a geometric series since its ratios fall. The bound is a number at which that was at most alpha, and
//! whose neighbour above it was not. A library's incomplete beta function would be shorter, but says nothing of its error: statrs',
//! whose continued fraction ends after 140 terms, is off by 3e-10 at n = 100 000, and its inverse lies 9e-11 above the bound for
//! k = n, where a radius feels it a thousand times.

use candle_core::{Result, bail};

/// Half of the distance of 1 from the next number.
const U: f64 = f64::EPSILON / 2.0;

/// Beyond this counts are no exact f64, nor is the sum done in a moment.
const MOST: u64 = 1_000_000_000;

/// The one-sided Clopper-Pearson bound: a `p` that the probability of success lies below with probability at most `alpha`, whatever it
/// is, where `trials` had so many `successes`. Rounded down.
pub fn binomial_lower(successes: u64, trials: u64, alpha: f64) -> Result<f64> {
    counted("binomial_lower", successes, trials)?;
    if !(1e-300..=0.5).contains(&alpha) {
        bail!("binomial_lower: alpha is {alpha}; it must be above 0, from 1e-300, and at most 0.5");
    }
    if successes == 0 {
        return Ok(0.0);
    }
    let (k, n) = (successes as f64, trials as f64);
    // T(low) <= alpha < tail(high).
    let (mut low, mut high) = (0.0, k / n);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return Ok(low);
        }
        if tail(k, n, middle) <= alpha { low = middle } else { high = middle }
    }
}

/// The two-sided p-value of `first` in `trials` against the probability 1/2. Rounded up.
pub fn binomial_p_value(first: u64, trials: u64) -> Result<f64> {
    counted("binomial_p_value", first, trials)?;
    let more = first.max(trials - first);
    if 2 * more == trials {
        return Ok(1.0);
    }
    Ok((2.0 * tail(more as f64, trials as f64, 0.5)).min(1.0))
}

fn counted(op: &str, successes: u64, trials: u64) -> Result<()> {
    if trials == 0 || trials > MOST {
        bail!("{op}: {trials} trials; there must be at least 1 and at most {MOST}");
    }
    if successes > trials {
        bail!("{op}: {successes} successes in {trials} trials; there cannot be more than trials");
    }
    Ok(())
}

/// From above: P[Bin(n, p) >= k], for k >= 1 and 0 < p <= k / n, p < 1.
fn tail(k: f64, n: f64, p: f64) -> f64 {
    let rest = n - k;
    let d = -n.mul_add(p, -k);
    // Near 0 the logarithm wants its argument whole.
    let a = if d <= 0.5 * k { k * libm::log1p(-d / k) } else { k * libm::log(n * p / k) };
    let b = if rest > 0.0 { rest * libm::log1p(d / rest) } else { 0.0 };
    let head = if rest > 0.0 {
        0.5 * libm::log(n / k / rest / (2.0 * std::f64::consts::PI)) + r(n) - r(k) - r(rest)
    } else {
        0.0
    };
    let first = libm::exp(head + a + b);
    let odds = p / (1.0 - p);
    let (mut term, mut sum, mut i) = (first, first, k);
    let beyond = loop {
        let ratio = (n - i) / (i + 1.0) * odds;
        if ratio <= 0.0 {
            break 0.0;
        }
        // All that is left, once it is nothing beside the sum.
        let left = if ratio < 1.0 { term * ratio / (1.0 - ratio) } else { f64::INFINITY };
        if left <= U * sum {
            break left;
        }
        term *= ratio;
        sum += term;
        i += 1.0;
    };
    let lost = 16.0 * (d.abs() + a.abs() + b.abs()) + 4.0 * head.abs() + 512.0 + 4.0 * (i - k) + 16.0;
    // The smallest number stands for what fell below all numbers.
    (sum + beyond) * (1.0 + 2.0 * U * lost) + f64::MIN_POSITIVE
}

/// ln m! less (m + 1/2) ln m - m + ln(2 pi) / 2; of Stirling's series the terms that f64 sees.
fn r(m: f64) -> f64 {
    if m < 16.0 {
        let factorial = (2..=m as u64).fold(1.0, |product, i| product * i as f64);
        let stirling = (m + 0.5) * libm::log(m) - m + 0.5 * libm::log(2.0 * std::f64::consts::PI);
        return libm::log(factorial) - stirling;
    }
    let s = 1.0 / (m * m);
    (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s / 1188.0)))) / m
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the sum itself, in plain products, where n is small: k of n at p.
    fn plain(k: u64, n: u64, p: f64) -> f64 {
        let term = |i: u64| {
            let choose = (0..i).fold(1.0, |c, j| c * (n - j) as f64 / (j + 1) as f64);
            choose * p.powi(i as i32) * (1.0 - p).powi((n - i) as i32)
        };
        (k..=n).map(term).sum()
    }

    #[test]
    fn the_tail_is_above_the_sum_and_near_it() {
        for n in [1, 2, 5, 17, 40, 100] {
            for k in 1..=n {
                for part in [1e-9, 1e-3, 0.3, 0.49, 0.9, 1.0] {
                    let p = part * k as f64 / n as f64;
                    // Below this the plain products run out of numbers.
                    if p < 1.0 && p.powi(k as i32) > 1e-290 {
                        let (found, truth) = (tail(k as f64, n as f64, p), plain(k, n, p));
                        // The plain sum has an error of its own, of some 1e-14.
                        assert!(found >= truth * (1.0 - 2e-14), "{k} of {n} at {p}: {found:e} below {truth:e}");
                        assert!(found <= truth * (1.0 + 1e-11) + 1e-300, "{k} of {n} at {p}: {found:e}, {truth:e}");
                    }
                }
            }
        }
    }

    /// All successes: the bound is alpha^(1 / n). One success: 1 - (1 - alpha)^(1 / n).
    #[test]
    fn the_ends_have_closed_forms() {
        for n in [1_u64, 10, 1000, 100_000, 100_000_000] {
            for alpha in [0.001_f64, 0.05, 0.5, 1e-12] {
                let (all, one) = (binomial_lower(n, n, alpha).unwrap(), binomial_lower(1, n, alpha).unwrap());
                let truth = (alpha.ln() / n as f64).exp();
                // By its distance from 1, which is what a radius rests on.
                assert!(all <= truth && truth - all <= 1e-10 * (1.0 - truth) + 1e-15, "{n} of {n}: {all} for {truth}");
                let truth = -((-alpha).ln_1p() / n as f64).exp_m1();
                let gap = (truth - one) / truth;
                assert!((-1e-15..1e-10).contains(&gap), "1 of {n} at {alpha}: {one:e} for {truth:e}");
            }
        }
    }

    /// Another way to the same numbers.
    #[test]
    fn the_library_agrees_as_far_as_it_goes() {
        for (k, n) in [(60, 100), (540, 1000), (999, 1000), (60_000, 100_000), (99_000, 100_000)] {
            let own = binomial_lower(k, n, 0.001).unwrap();
            let other = statrs::function::beta::inv_beta_reg(k as f64, (n - k + 1) as f64, 0.001);
            assert!((own - other).abs() <= 1e-12, "{k} of {n}: {own} and {other}");
        }
    }

    #[test]
    fn what_is_no_count_is_refused() {
        let message = |r: Result<f64>| r.unwrap_err().to_string();
        assert!(message(binomial_lower(3, 2, 0.1)).contains("3 successes in 2 trials"));
        assert!(message(binomial_lower(0, 0, 0.1)).contains("0 trials"));
        assert!(message(binomial_lower(1, 2, 0.6)).contains("alpha is 0.6"));
        assert!(message(binomial_lower(1, 2, f64::NAN)).contains("alpha is NaN"));
        assert!(message(binomial_p_value(5, 4)).contains("5 successes in 4 trials"));
    }
}
