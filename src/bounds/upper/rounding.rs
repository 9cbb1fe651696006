//! Bounds on rounding in f64: `gamma(n) = n u / (1 - n u)`, u = 2^-53, bounds the relative error of n roundings one after
//! the other (Higham, "Accuracy and Stability of Numerical Algorithms", lemma 3.1). What is computed here is itself rounded
//! up.

/// Half the distance from 1 to the next number.
pub const UNIT: f64 = f64::EPSILON / 2.0;

/// `gamma(n)`, rounded up; infinite where the formula says nothing.
pub fn gamma(n: usize) -> f64 {
    let nu = (n as f64 + 2.0) * UNIT;
    if nu < 0.5 { nu / (1.0 - nu) } else { f64::INFINITY }
}

/// A number that is at least `x` after `n` roundings of positive terms.
pub fn raised(x: f64, n: usize) -> f64 {
    x * (1.0 + gamma(n + 2))
}

/// The power of two that brings the largest of `values` into [1/2, 1); 1 for zero. `None` where one is not finite.
/// Multiplying by it is exact for every number that stays above 1e-290.
pub fn scale(values: &[f64]) -> Option<f64> {
    let peak = values.iter().fold(0.0, |m: f64, x| if x.is_nan() { f64::NAN } else { m.max(x.abs()) });
    match peak {
        0.0 => Some(1.0),
        peak if peak.is_finite() && !peak.is_nan() => {
            let exponent = peak.log2().floor() as i32 + 1;
            // Beyond that the smallest numbers are not worth a second factor.
            Some(2f64.powi(-exponent.clamp(-1000, 1000)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_powers_of_two() {
        for x in [1e-300, 3e-12, 0.5, 1.0, 7.0, 1e12, 1e300] {
            let s = scale(&[0.0, -x]).expect("finite");
            assert!((0.25..=1.0).contains(&(x * s)), "{x:e} {s:e}");
            assert_eq!(s.log2().fract(), 0.0);
        }
        assert_eq!(scale(&[]), Some(1.0));
        assert_eq!((scale(&[f64::NAN]), scale(&[f64::INFINITY])), (None, None));
        assert!(gamma(10) > 10.0 * UNIT && gamma(usize::MAX) == f64::INFINITY);
    }
}
