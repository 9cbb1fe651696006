//! Lanczos' iteration on a masked layer, in f64, on the values that vary: an estimate with both sides (`ritz_estimate`), and an upper
//! bound with a stated probability of failure (`probable`)
//!
//! ```text
//! one run     P(||A||^2 > mu) <= d sqrt(2 n / pi)       mu: where the recurrence bounds the start vector's part by d
//! RUNS runs   P(||A||^2 > all mu) <= (d sqrt(2 n / pi))^RUNS =: failure
//! ```
//!
//! (`tridiagonal`). The runs start from independent random vectors, n the number of values that vary on the smaller
//! side, so the largest mu is exceeded only if every start vector was unlucky. Several runs rather than one, because a
//! d of some 1e-16 would lie below the rounding in f64, and because short runs are cheaper. Vectors that were used
//! before void the statement: a stream of random numbers is one use, named by key, image, layer. The statement is about
//! a network that was made before the key was drawn, by somebody who did not know it: whoever knows the key can make a
//! network for it. So it is drawn once for each evaluation, when the network is there, and recorded. A radius that is
//! chosen by what an earlier bound found needs a new `turn`, and one probability is shared out over all turns.

use super::found::{Found, root};
use super::masked::{Kind, Map, Masks, kept};
use super::rounding::UNIT;
use super::tridiagonal::Lanczos;
use crate::base::interrupt;
use crate::base::random::{Generator, Key, StreamName};
use candle_core::{Result, bail};

/// Independent start vectors of a probabilistic bound.
pub const RUNS: usize = 3;
/// Steps after which the bound is looked at.
const LOOK: usize = 8;
/// The part of the start vector at which an estimate stops: an upper value that is wrong some times in a hundred, and is
/// then found out by what uses it.
const CASUAL: f64 = 1e-3;

/// Whose random numbers these are.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub key: Key,
    /// The image, by its place in the data.
    pub sample: u64,
    /// The layer, by its place in the network.
    pub layer: u64,
    /// Which use of this image and layer: a radius that was chosen by what an earlier use found needs numbers of its own.
    pub turn: u64,
}

impl Stream {
    fn generator(self, run: usize) -> Generator {
        // Disjoint bits, so no two share a stream.
        let name = self.sample.wrapping_mul(1 << 24) ^ (self.layer << 8) ^ run as u64;
        StreamName { key: self.key, stream: name }.fork(&format!("lanczos {}", self.turn)).generator()
    }
}

/// A layer with the masks of one sample as a symmetric matrix on what varies: `A^T A` or `A A^T`, whichever is smaller.
struct Operator<'a> {
    map: &'a Map,
    masks: Masks<'a>,
    transposed: bool,
    /// The places of the unknowns.
    places: Vec<usize>,
    x: Vec<f64>,
    y: Vec<f64>,
    scratch: Vec<f64>,
}

impl<'a> Operator<'a> {
    fn new(map: &'a Map, masks: Masks<'a>) -> Self {
        let list = |n: usize, mask: Option<&[u8]>| (0..n).filter(|i| kept(mask, *i)).collect::<Vec<_>>();
        let (columns, rows) = (list(map.inputs(), masks.columns), list(map.outputs(), masks.rows));
        let transposed = rows.len() < columns.len();
        Self {
            map,
            masks,
            transposed,
            places: if transposed { rows } else { columns },
            x: vec![0.0; map.inputs()],
            y: vec![0.0; map.outputs()],
            scratch: vec![],
        }
    }

    fn apply(&mut self, from: &[f64], to: &mut [f64]) {
        let Self { map, masks, x, y, scratch, .. } = self;
        if self.transposed {
            y.fill(0.0);
            self.places.iter().zip(from).for_each(|(at, v)| y[*at] = *v);
            map.adjoint(y, x, scratch);
            clear(x, masks.columns);
            map.forward(x, y, scratch);
            self.places.iter().zip(to).for_each(|(at, v)| *v = y[*at]);
        } else {
            x.fill(0.0);
            self.places.iter().zip(from).for_each(|(at, v)| x[*at] = *v);
            map.forward(x, y, scratch);
            clear(y, masks.rows);
            map.adjoint(y, x, scratch);
            self.places.iter().zip(to).for_each(|(at, v)| *v = x[*at]);
        }
    }

    fn start(&self, generator: &Generator) -> Option<Lanczos> {
        Lanczos::new(self.places.iter().map(|_| generator.gauss()).collect())
    }
}

fn clear(x: &mut [f64], mask: Option<&[u8]>) {
    if let Some(mask) = mask {
        x.iter_mut().zip(mask).for_each(|(x, m)| *x = if *m == 0 { 0.0 } else { *x });
    }
}

/// Bounds on the square of the norm that are close on both sides, `upper` likely a bound but not proved.
pub fn ritz_estimate(map: &Map, masks: Masks, tolerance: f64, stream: Stream) -> Result<Found> {
    let mut operator = Operator::new(map, masks);
    let Some(mut lanczos) = operator.start(&stream.generator(RUNS)) else {
        return Ok(Found { upper: 0.0, lower: 0.0, steps: 0 });
    };
    loop {
        let more = lanczos.step(|x, y| operator.apply(x, y));
        let steps = lanczos.found.alpha.len();
        if more && steps % LOOK != 0 {
            continue;
        }
        interrupt::check()?;
        let upper = lanczos.found.upper(CASUAL, 0.0, map.holder);
        let lower = lanczos.found.ritz(map.holder * (1.0 + 1e-9));
        if !more || upper <= lower * (1.0 + 2.0 * tolerance) || steps >= 400 {
            return Ok(Found { upper, lower, steps: steps as u32 });
        }
    }
}

/// An upper bound on the norm that fails with at most the probability `failure`, over the draw of the start vectors: as many
/// steps as it takes for it to lie within `tolerance` (relative) of the lower bound, at most `limit` in each run.
pub fn probable(map: &Map, masks: Masks, failure: f64, tolerance: f64, limit: usize, stream: Stream) -> Result<Found> {
    if !(failure > 0.0 && failure < 1.0) {
        bail!("norm_bound: a failure probability of {failure}; it must lie between 0 and 1");
    }
    if let Kind::Diagonal(largest) = map.kind {
        return Ok(Found { upper: largest, lower: largest, steps: 0 });
    }
    let mut operator = Operator::new(map, masks);
    let n = operator.places.len();
    let part = failure.powf(1.0 / RUNS as f64) / (2.0 * n.max(1) as f64 / std::f64::consts::PI).sqrt();
    // The start vector as it is stored lies within a few roundings of the one that was drawn. Below 0 nothing can be said, and
    // Hoelder's bound is what is left; above 1/2 the probability of a small part is another formula.
    let part = part.min(0.5) * (1.0 - 1e-9) - 4.0 * UNIT;
    // Beside the product's, the recurrence's own roundings: two subtractions, two scaled vectors, one division, some 14
    // units of the norm; twice that.
    let error = map.product_error() + 16.0 * f64::EPSILON * map.holder;
    let mut found = Found { upper: 0.0, lower: 0.0, steps: 0 };
    for run in 0..RUNS {
        let Some(mut lanczos) = operator.start(&stream.generator(run)) else {
            return Ok(found);
        };
        for step in 1..=limit.max(1) {
            let more = lanczos.step(|x, y| operator.apply(x, y));
            found.steps += 1;
            if more && step % LOOK != 0 && step != limit {
                continue;
            }
            interrupt::check()?;
            let upper = root(lanczos.found.upper(part, error, map.holder) * (1.0 + 1e-12));
            let lower = lanczos.found.ritz(map.holder * (1.0 + 1e-9)).sqrt();
            if !more || step >= limit || upper <= lower * (1.0 + tolerance) {
                found.upper = found.upper.max(upper);
                found.lower = found.lower.max(lower);
                break;
            }
        }
    }
    Ok(found)
}
