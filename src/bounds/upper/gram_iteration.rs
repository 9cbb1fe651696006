//! A rigorous upper bound on the norm of a masked linear layer by Gram iteration (Delattre et al., "Efficient bound of
//! Lipschitz constant for convolutional layers by Gram iteration", 2023)
//!
//! ```text
//! G_0 = A A^T      G_{t+1} = G_t^2 / f_t^2, f_t = ||G_t||_F       lambda(G_t) <= f_t
//! lambda(G_t / f_t)^2 <= lambda(fl(G_{t+1})) + gamma(m + 2)       ||A||^2 = lambda(G_0)
//! ```
//!
//! Each squaring halves what the Frobenius norm is too large by, on a logarithmic scale: at most rank^(1 / 2^t). No
//! start vector, no estimate, nothing to fail; some ten times as many operations as one factorisation. It is there for
//! those who want no start vector.

use super::found::{Found, root};
use super::gram::{Gram, Side, products, symmetrise};
use super::masked::{Kind, Map, Masks};
use super::rounding::{gamma, raised};
use crate::base::interrupt;
use candle_core::{Result, bail};
use gemm::Parallelism;

/// The bound on the scaled map after `squarings` squarings.
pub fn squaring(map: &Map, masks: Masks, squarings: usize, threads: Parallelism) -> Result<Found> {
    let Kind::Linear { outputs, inputs } = &map.kind else {
        bail!("norm_bound: Gram iteration is for linear layers; use \"fourier\" or \"factor\" for a convolution");
    };
    let side = if outputs <= inputs { Side::Rows } else { Side::Columns };
    let Some(Gram::Linear(gram)) = Gram::of(map, masks, side, threads) else {
        bail!("norm_bound: no Gram matrix");
    };
    let mut g = gram.values;
    let m = (g.len() as f64).sqrt().round() as usize;
    let slack = gamma(m + 2);
    // f_t of every round.
    let mut factors = vec![];
    for round in 0..=squarings {
        interrupt::check()?;
        let size = g.iter().map(|x| x * x).sum::<f64>().sqrt();
        if size <= 0.0 {
            // Nothing is left, or nothing was there: what the rounds before say is all.
            factors.push(0.0);
            break;
        }
        factors.push(raised(size, g.len() + 2));
        if round == squarings {
            break;
        }
        g.iter_mut().for_each(|x| *x /= size);
        let mut next = vec![0.0; m * m];
        // G is symmetric, so this is its square.
        products((m, m, m), (&g, 1, m), (&g, 1, m), &mut next, threads);
        symmetrise(&mut next, m);
        g = next;
    }
    // Backwards: lambda(G_t) <= f_t sqrt(lambda(G_{t+1}) + slack).
    let mut bound = factors.pop().unwrap_or(0.0);
    for f in factors.iter().rev() {
        bound = raised(f * root(bound + slack), 4);
    }
    let absolute = raised(gamma(map.terms() + 4) * map.holder, 2);
    Ok(Found { upper: root(bound + absolute), lower: 0.0, steps: squarings as u32 })
}
