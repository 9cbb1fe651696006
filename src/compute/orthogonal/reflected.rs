//! Block reflectors `I - 2 V (V^H V)^-1 V^H`: orthogonal and symmetric, whatever V of full rank
//!
//! ```text
//! P = V (V^T V)^-1      Q = I - 2 P V^T      gradient of <G, Q>:  -(Q + I) (G + G^T) P,   Q + I = 2 (I - P V^T)
//! ```

use crate::compute::autograd::differentiable;
use crate::compute::frequency::{Complex, of_spectrum, spectrum};
use crate::compute::inverse::inverted;
use crate::compute::linear::strided::batched;
use candle_core::{Result, Tensor};

/// P and Q of V `[F, n, r]`; of real forms real forms.
fn made(v: &Tensor) -> Result<[Tensor; 2]> {
    // Positive definite where V has full rank.
    let p = batched(v, &inverted(&batched(v, v, [true, false])?)?, [false, false])?;
    let q = (batched(&p, v, [false, true])? * -2.0)?.broadcast_add(&Tensor::eye(v.dim(1)?, v.dtype(), v.device())?)?;
    Ok([p, q])
}

fn gradient(p: &Tensor, q: &Tensor, g: &Tensor) -> Result<Tensor> {
    let both = batched(&(g + g.t()?)?, p, [false, false])?;
    (batched(q, &both, [false, false])? + both)?.neg()
}

/// Of a matrix `[N, R]`, R <= N: `[N, N]`.
pub fn reflected(v: &Tensor) -> Result<Tensor> {
    let [p, q] = made(&v.detach().unsqueeze(0)?)?;
    let kept = q.copy()?;
    differentiable("reflected", q.squeeze(0)?.force_contiguous()?, [v; 3], move |g, _| {
        Ok((Some(gradient(&p, &kept, &g.unsqueeze(0)?)?.squeeze(0)?), None, None))
    })
}

/// At each frequency of n x n images of the transform of a kernel `[N, R, k, k]`, as its taps lie: `[F, 2 N, 2 N]`, exactly real forms, so that
/// bounds read them as a kernel's. Where the taps are anchored cancels.
pub fn reflected_by_frequency(w: &Tensor, n: usize) -> Result<Tensor> {
    let k = w.dim(3)?;
    // That of a correlation is conjugate.
    let [p, q] = made(&spectrum(w, n)?.conjugate()?.real_form()?)?;
    let q = Complex::folded(&q, 0.5)?.real_form()?;
    let kept = q.copy()?;
    differentiable("reflected_by_frequency", q, [w; 3], move |g, _| {
        let own = Complex::folded(&gradient(&p, &kept, g)?, 1.0)?.conjugate()?;
        Ok((Some(of_spectrum(&own, k, n)?), None, None))
    })
}
