//! From a probability to a radius: sigma Phi^-1(p), rounded down.
//!
//! `statrs` has the quantile by rational functions; against erfc of libm it is exact to 1e-15, relatively, far into both tails.

use candle_core::{Result, bail};
use statrs::function::erf::erfc_inv;
use std::f64::consts::SQRT_2;

/// More than the quantile and the products can be wrong by, relatively.
const ROUNDING: f64 = 1e-14;

/// Phi^-1: below which number a standard normal one lies with probability `p`.
pub fn normal_quantile(p: f64) -> Result<f64> {
    if !(0.0..=1.0).contains(&p) {
        bail!("normal_quantile: {p} is no probability; it must be from 0 to 1");
    }
    // Plus 0, for the quantile of 1/2 is not -0.
    Ok(0.0 - SQRT_2 * erfc_inv(2.0 * p))
}

/// The radius that a probability of at least `lower` for one class proves under noise `sigma`; none below 1/2.
pub fn smoothed_radius(lower: f64, sigma: f64) -> Result<Option<f64>> {
    if !(0.0..1.0).contains(&lower) {
        bail!("smoothed_radius: {lower} is no lower bound on a probability; it must be at least 0 and below 1");
    }
    if !(sigma > 0.0 && sigma.is_finite()) {
        bail!("smoothed_radius: sigma is {sigma}; it must be finite and above 0");
    }
    if lower < 0.5 {
        return Ok(None);
    }
    Ok(Some(sigma * normal_quantile(lower)? * (1.0 - ROUNDING)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Phi of the quantile is p again: an error of the quantile times the density, near 1 by the distance from 1.
    #[test]
    fn quantiles_are_what_they_say() {
        for i in 1..2000 {
            for p in [i as f64 / 2000.0, (-0.3 * i as f64 / 10.0).exp(), 1.0 - (-0.01 * i as f64).exp()] {
                if !(p > 0.0 && p < 1.0) || p > 1.0 - 1e-12 {
                    continue;
                }
                let q = normal_quantile(p).unwrap();
                // The smaller of both tails; 1 - p is exact above 1/2.
                let (tail, truth) = if q < 0.0 { (-q, p) } else { (q, 1.0 - p) };
                let back = 0.5 * libm::erfc(tail / SQRT_2);
                let density = (-0.5 * q * q).exp() / (2.0 * std::f64::consts::PI).sqrt();
                assert!((back - truth).abs() <= 4e-15 * (density * tail.max(1e-3) + truth), "{p}: {q}");
            }
        }
        assert_eq!(normal_quantile(0.5).unwrap().to_bits(), 0.0f64.to_bits());
        assert!((normal_quantile(0.975).unwrap() - 1.959_963_984_540_054).abs() < 1e-15);
    }

    #[test]
    fn below_one_half_there_is_no_radius() {
        assert_eq!(smoothed_radius(0.5 - 1e-16, 1.0).unwrap(), None);
        assert_eq!(smoothed_radius(0.5, 1.0).unwrap(), Some(0.0));
        assert!(smoothed_radius(0.975, 2.0).unwrap().unwrap() < 2.0 * normal_quantile(0.975).unwrap());
        assert!(smoothed_radius(1.0, 1.0).is_err() && smoothed_radius(f64::NAN, 1.0).is_err());
        assert!(smoothed_radius(0.9, 0.0).is_err() && smoothed_radius(0.9, f64::INFINITY).is_err());
        assert!(normal_quantile(1.1).is_err() && normal_quantile(f64::NAN).is_err());
    }
}
