//! The least value of linear functions over a ball and a box
//!
//! ```text
//! ball   a . x - radius ||a||      gradient in a: x - radius a / ||a||, x where a is 0
//! box    sum_i (a_i lower_i where a_i > 0, a_i upper_i elsewhere)
//! ```

use super::significant::significant;
use super::through::{Given, through};
use crate::compute::autograd::differentiable;
use crate::compute::linear::strided::batched;
use crate::compute::norms::samples::sample_norms;
use candle_core::{Result, Tensor, bail};

/// Of a region, what is asked.
#[derive(Clone, Copy, Debug)]
pub enum Over<'a> {
    /// `x` `[B, n...]` and `radius` `[B]`.
    Ball { x: &'a Tensor, radius: &'a Tensor },
    /// Both ends, `[B, n...]`.
    Box { lower: &'a Tensor, upper: &'a Tensor },
}

/// The least value of `a . z` for each row of `a` `[B, S, n...]`: `[B, S]`. Differentiable in `a` and what is asked of.
pub fn concretised(a: &Tensor, over: Over) -> Result<Tensor> {
    match over {
        Over::Ball { x, radius } => over_ball(a, x, radius),
        Over::Box { lower, upper } => {
            let nothing = lower.zeros_like()?.detach();
            let ends = Given {
                lower_slope: nothing.clone(),
                upper_slope: nothing,
                lower_offset: lower.clone(),
                upper_offset: upper.clone(),
                bias: None,
            };
            Ok(through(a, &ends)?.1)
        }
    }
}

fn over_ball(a: &Tensor, x: &Tensor, radius: &Tensor) -> Result<Tensor> {
    let (batch, rows) = (a.dim(0)?, a.dim(1)?);
    if x.dims() != [&[batch], &a.dims()[2..]].concat() || radius.dims() != [batch] {
        bail!("linear bound: coefficients {:?} over a ball around {:?}, radii {:?}", a.dims(), x.dims(), radius.dims());
    }
    let flat = |t: &Tensor| t.detach().contiguous()?.reshape((batch, t.elem_count() / batch.max(1), 1));
    let coefficients = a.detach().contiguous()?.reshape((batch, rows, a.dims()[2..].iter().product::<usize>()))?;
    let (center, reach) = (flat(x)?, radius.detach());
    let norms =
        sample_norms(&coefficients.reshape((batch * rows, ()))?)?.to_dtype(a.dtype())?.reshape((batch, rows))?;
    let value =
        (batched(&coefficients, &center, [false; 2])?.squeeze(2)? - norms.broadcast_mul(&reach.unsqueeze(1)?)?)?;
    let (of_a, of_x) = (a.shape().clone(), x.shape().clone());
    differentiable("linear bound over a ball", value, [a, x, radius], move |g, [to_a, to_x, to_radius]| {
        let g = &significant(g)?;
        let da = || {
            // A row of zeros has no direction; its gradient is the center.
            let none = norms.eq(0.0)?.to_dtype(norms.dtype())?;
            let by = (g.broadcast_mul(&reach.unsqueeze(1)?)? / (&norms + none)?)?;
            let center = g.unsqueeze(2)?.broadcast_mul(&center.transpose(1, 2)?)?;
            (center - coefficients.broadcast_mul(&by.unsqueeze(2)?)?)?.reshape(&of_a)
        };
        let dx = || batched(&coefficients, &g.unsqueeze(2)?, [true, false])?.reshape(&of_x);
        let dr = || (g * &norms)?.sum(1)?.neg();
        Ok((to_a.then(da).transpose()?, to_x.then(dx).transpose()?, to_radius.then(dr).transpose()?))
    })
}
