//! The Cayley transform of matrices of any shape: all singular values of what it gives are 1
//!
//! ```text
//! Z (I - A) = 2 Z - I, since I - A = 2 I - (I + A)      Q = [2 Z - I; -2 V Z]
//! gradient of <G, Q>, G = [S; T]:
//!   G_Z = 2 S - 2 V^T T      G_A = -Z^T G_Z Z^T      G_U = G_A - G_A^T      G_V = V (G_A + G_A^T) - 2 T Z^T
//! ```

use crate::compute::autograd::differentiable;
use crate::compute::frequency::{Complex, of_spectrum, spectrum};
use crate::compute::inverse::inverted;
use crate::compute::linear::strided::batched;
use candle_core::{Result, Tensor};

/// U, or U and V, `[F, n, n]` and `[F, m, n]`, and Z of them. Of real forms of complex matrices these are real forms too.
struct Transform {
    v: Option<Tensor>,
    z: Tensor,
}

impl Transform {
    fn of(u: &Tensor, v: Option<Tensor>) -> Result<Self> {
        let skew = (u - u.t()?)?.broadcast_add(&Tensor::eye(u.dim(1)?, u.dtype(), u.device())?)?;
        let a = match &v {
            Some(v) => (skew + batched(v, v, [true, false])?)?,
            None => skew,
        };
        // Its symmetric part is at least I.
        Ok(Self { v, z: inverted(&a)? })
    }

    /// `2 Z - I` and `-2 V Z`.
    fn value(&self) -> Result<(Tensor, Option<Tensor>)> {
        let one = Tensor::eye(self.z.dim(1)?, self.z.dtype(), self.z.device())?;
        let below = self.v.as_ref().map(|v| batched(v, &self.z, [false, false])? * -2.0).transpose()?;
        Ok(((&self.z * 2.0)?.broadcast_sub(&one)?, below))
    }

    /// The gradients in U and V of those in the value.
    fn gradients(&self, square: &Tensor, below: Option<&Tensor>) -> Result<(Tensor, Option<Tensor>)> {
        let mut of_z = (square * 2.0)?;
        if let (Some(v), Some(below)) = (&self.v, below) {
            of_z = (of_z - (batched(v, below, [true, false])? * 2.0)?)?;
        }
        let of_a = batched(&batched(&self.z, &of_z, [true, false])?, &self.z, [false, true])?.neg()?;
        let turned = of_a.t()?.contiguous()?;
        let of_v = match (&self.v, below) {
            (Some(v), Some(below)) => {
                let first = batched(v, &(&of_a + &turned)?, [false, false])?;
                Some((first - (batched(below, &self.z, [false, true])? * 2.0)?)?)
            }
            _ => None,
        };
        Ok(((of_a - turned)?, of_v))
    }
}

/// Of a matrix `[O, I]`; where O < I, of the turned one, turned back.
pub fn cayley(w: &Tensor) -> Result<Tensor> {
    let (o, i) = w.dims2()?;
    if o < i {
        return cayley(&w.t()?.contiguous()?)?.t()?.contiguous();
    }
    let own = w.detach();
    let rows = move |t: &Tensor, from, count| t.narrow(0, from, count)?.contiguous()?.unsqueeze(0);
    let v = if o > i { Some(rows(&own, i, o - i)?) } else { None };
    let transform = Transform::of(&rows(&own, 0, i)?, v)?;
    let (square, below) = transform.value()?;
    let value = match below {
        Some(below) => Tensor::cat(&[square, below], 1)?.squeeze(0)?,
        None => square.squeeze(0)?,
    };
    differentiable("cayley", value.contiguous()?, [w; 3], move |g, _| {
        let below = if o > i { Some(rows(g, i, o - i)?) } else { None };
        let own = match transform.gradients(&rows(g, 0, i)?, below.as_ref())? {
            (u, Some(v)) => Tensor::cat(&[u, v], 1)?.squeeze(0)?,
            (u, None) => u.squeeze(0)?,
        };
        Ok((Some(own), None, None))
    })
}

/// At each frequency of n x n images of the spectrum of a kernel `[O, I, k, k]`; where O < I, of the turned matrices, not conjugate, turned back.
/// `[F, 2 O, 2 I]`, exactly real forms, so that bounds read them as a kernel's.
pub fn cayley_by_frequency(w: &Tensor, n: usize) -> Result<Tensor> {
    let (o, i, k, _) = w.dims4()?;
    let found = spectrum(w, n)?;
    let is_turned = o < i;
    let found = if is_turned { found.turned()? } else { found };
    let (rows, columns) = (o.max(i), o.min(i));
    let v = if rows > columns { Some(found.rows(columns, rows - columns)?.real_form()?) } else { None };
    let transform = Transform::of(&found.rows(0, columns)?.real_form()?, v)?;
    let (square, below) = transform.value()?;
    let mut q = Complex::folded(&square, 0.5)?;
    if let Some(below) = below {
        q = q.above(&Complex::folded(&below, 0.5)?)?;
    }
    let value = if is_turned { q.turned()?.real_form()? } else { q.real_form()? };
    differentiable("cayley_by_frequency", value, [w; 3], move |g, _| {
        let g = Complex::folded(g, 0.5)?;
        let g = if is_turned { g.turned()? } else { g };
        let below = if rows > columns { Some(g.rows(columns, rows - columns)?.real_form()?) } else { None };
        let (u, v) = transform.gradients(&g.rows(0, columns)?.real_form()?, below.as_ref())?;
        let mut own = Complex::folded(&u, 1.0)?;
        if let Some(v) = v {
            own = own.above(&Complex::folded(&v, 1.0)?)?;
        }
        let own = if is_turned { own.turned()? } else { own };
        Ok((Some(of_spectrum(&own, k, n)?), None, None))
    })
}
