//! A rigorous upper bound on the norm of a masked layer: `s^2 I - A^T A` has a Cholesky factorisation, so `||A|| <= s`
//!
//! ```text
//! factorisation of  M = s^2 I - G,  G the computed A^T A or A A^T, runs to its end
//! ||A||^2 <= s^2 + g_b / (1 - g_b) w s^2 + u s^2 + g_t ||  |A|  ||_1 ||  |A|  ||_inf
//! ```
//!
//! w: the most unknowns that one is coupled with; b = w + 4; t: the products in an entry of G; g_n = gamma(n). The second
//! term is the factorisation's own rounding (see `compute::cholesky`; the error's row sums, diagonals being at most s^2), the
//! third the rounding of the diagonal, the last that of G. After Rump, "Verification of positive definiteness" (2006).
//!
//! A factorisation costs the cube of the share of values that vary, so masks make it cheap; the number s to try comes
//! from a few steps of Lanczos' iteration. Where it fails, a larger s is tried. Banded by image rows, a convolution
//! with its masks is factorised rather than bounded by the frequencies of the one without them (`fourier`): 6C2F's
//! largest takes about as long as Lanczos' iteration to the same tolerance, and less the more is masked. Frequencies
//! remain for layers that are too large.

use super::found::{Found, root};
use super::gram::{Gram, Side};
use super::lanczos;
use super::masked::{Kind, Map, Masks, kept};
use super::rounding::{UNIT, gamma, raised};
use crate::compute::cholesky::{operations, positive, widest};
use candle_core::Result;
use gemm::Parallelism;

/// The cheaper side, and the multiplications and additions of one factorisation on it.
pub fn cost(map: &Map, masks: Masks) -> (Side, f64) {
    let of = |side| {
        let (sizes, reach) = Gram::shape(map, masks, side);
        (side, operations(&sizes, reach))
    };
    let (columns, rows) = (of(Side::Columns), of(Side::Rows));
    if columns.1 <= rows.1 { columns } else { rows }
}

/// The bound, with s up to about `tolerance` (relative) above the norm. `stream` names the numbers of the start vector; what
/// they are changes the time this takes, not its truth.
pub fn factor(map: &Map, masks: Masks, tolerance: f64, stream: lanczos::Stream, threads: Parallelism) -> Result<Found> {
    if let Kind::Diagonal(largest) = map.kind {
        return Ok(Found { upper: largest, lower: largest, steps: 0 });
    }
    let nothing = |n: usize, mask: Option<&[u8]>| !(0..n).any(|i| kept(mask, i));
    if map.holder == 0.0 || nothing(map.inputs(), masks.columns) || nothing(map.outputs(), masks.rows) {
        return Ok(Found { upper: 0.0, lower: 0.0, steps: 0 });
    }
    let (side, _) = cost(map, masks);
    let near = lanczos::ritz_estimate(map, masks, tolerance, stream)?;
    let Some(gram) = Gram::of(map, masks, side, threads) else {
        return Ok(Found { upper: f64::NAN, lower: 0.0, steps: 0 });
    };
    let wide = widest(&gram);
    let own = gamma(wide + 4);
    let relative = raised(own / (1.0 - own) * wide as f64 + UNIT, 4);
    let absolute = raised(gamma(map.terms() * 2 + 4) * map.holder, 2);
    let (mut shift, mut growth) = (near.upper * (1.0 + 1e-9), 2.0 * tolerance);
    let mut steps = near.steps;
    loop {
        // Hoelder's bound needs no factorisation, and is where trying ends.
        if shift >= map.holder || shift.is_nan() {
            return Ok(Found { upper: root(map.holder), lower: near.lower.sqrt(), steps });
        }
        steps += 1;
        if shift > 0.0 && positive(&gram, shift, threads)? {
            return Ok(Found { upper: root(shift * (1.0 + relative) + absolute), lower: near.lower.sqrt(), steps });
        }
        // From nothing, where no input that varies reaches an output that does: a start above every rounding.
        shift = if shift > 0.0 { shift * (1.0 + growth) } else { map.holder * 1e-12 };
        growth *= 3.0;
    }
}
