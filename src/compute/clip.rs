//! Element by element: activations with learnable thresholds, and the smaller and larger of two tensors, each with the
//! gradient of the side that was taken, also at a tie, and none of them swallowing a NaN.
//!
//! ```text
//! relu(x)       = max(x, 0)
//! clip(x, t)    = max(min(x, t), 0)     ReLU-theta, Eq. 8 of Huang et al. (2021)
//! smaller(x, t) = min(x, t)             larger(x, t) = max(x, t)
//! ```
//!
//! t has the shape of x, or `[1, ...]`, one value per neuron, and is then broadcast over the batch. At x = t the gradient
//! belongs to t alone; a min-of-max chain would split it in halves. At t = 0 the threshold of a clipped neuron still
//! receives its gradient, so a neuron that a projection has closed can open again. A NaN on either side comes out as NaN:
//! the usual `max(NaN, 0) = 0` would let a broken network be certified.

use super::element::{Element, for_float, slice};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// Elements that one task works on.
const PART: usize = 1 << 14;

/// `max(x, 0)`, gradient 0 at 0.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        // candle's relu on other devices; adding 0 x keeps a NaN.
        return x.relu()? + (x * 0.0)?;
    }
    x.contiguous()?.apply_op1(Relu)
}

/// `max(min(x, threshold), 0)`: `x` `[B, ...]`, `threshold` `[1, ...]`.
pub fn clip(x: &Tensor, threshold: &Tensor) -> Result<Tensor> {
    apply(x, threshold, Kind::Clip)
}

/// `min(x, t)`.
pub fn smaller(x: &Tensor, t: &Tensor) -> Result<Tensor> {
    apply(x, t, Kind::Smaller)
}

/// `max(x, t)`.
pub fn larger(x: &Tensor, t: &Tensor) -> Result<Tensor> {
    apply(x, t, Kind::Larger)
}

fn apply(x: &Tensor, t: &Tensor, kind: Kind) -> Result<Tensor> {
    let fits =
        x.dims() == t.dims() || x.rank() == t.rank() && t.dims().first() == Some(&1) && x.dims()[1..] == t.dims()[1..];
    if !fits {
        bail!(
            "{}: shapes {:?} and {:?} do not fit; equal ones or [1, ...] are wanted",
            kind.name(),
            x.dims(),
            t.dims()
        );
    }
    if !x.device().is_cpu() {
        return on_device(x, t, kind);
    }
    x.contiguous()?.apply_op2(&t.contiguous()?, Value(kind))
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Clip,
    Smaller,
    Larger,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Clip => "clip",
            Kind::Smaller => "smaller",
            Kind::Larger => "larger",
        }
    }

    /// Written so that every comparison with a NaN ends at the NaN.
    fn value<T: Element>(self, x: T, t: T) -> T {
        let x_is_nan = x.partial_cmp(&x).is_none();
        match self {
            Kind::Clip if x < t => positive(x),
            Kind::Clip if x_is_nan => x,
            Kind::Clip => positive(t),
            Kind::Smaller if x < t || x_is_nan => x,
            Kind::Larger if x > t || x_is_nan => x,
            Kind::Smaller | Kind::Larger => t,
        }
    }

    /// Does the gradient go to (x, t)?
    fn sides<T: Element>(self, x: T, t: T) -> (bool, bool) {
        match self {
            Kind::Clip => (x < t && x > T::ZERO, x >= t && t >= T::ZERO),
            Kind::Smaller => (x < t, x >= t),
            Kind::Larger => (x > t, x <= t),
        }
    }
}

fn positive<T: Element>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

/// The same by candle's operations; at ties its gradient is halved. Adding 0 (x + t) keeps a NaN.
fn on_device(x: &Tensor, t: &Tensor, kind: Kind) -> Result<Tensor> {
    let y = match kind {
        Kind::Clip => x.broadcast_minimum(t)?.relu()?,
        Kind::Smaller => x.broadcast_minimum(t)?,
        Kind::Larger => x.broadcast_maximum(t)?,
    };
    y + (x.broadcast_add(t)? * 0.0)?
}

/// Calls `f` on matching parts of `out`, `x` and `t` in parallel, t starting over where it is shorter than x.
fn zip_parts<T: Element, O: Send>(out: &mut [O], x: &[T], t: &[T], f: impl Fn(&mut O, T, T) + Sync) {
    out.par_chunks_mut(PART).zip(x.par_chunks(PART)).enumerate().for_each(|(part, (out, x))| {
        let (mut out, mut x, mut at) = (out, x, part * PART % t.len());
        while !x.is_empty() {
            let n = x.len().min(t.len() - at);
            let (head, rest) = out.split_at_mut(n);
            for ((out, x), t) in head.iter_mut().zip(&x[..n]).zip(&t[at..at + n]) {
                f(out, *x, *t);
            }
            (out, x, at) = (rest, &x[n..], 0);
        }
    });
}

struct Value(Kind);

impl CustomOp2 for Value {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, t: &CpuStorage, lt: &Layout) -> Result<(CpuStorage, Shape)> {
        for_float!(self.name(), x, T => {
            let (x, t) = (slice::<T>(self.name(), x, lx)?, slice::<T>(self.name(), t, lt)?);
            let mut y = vec![T::ZERO; x.len()];
            zip_parts(&mut y, x, t, |y, x, t| *y = self.0.value(x, t));
            Ok((WithDType::to_cpu_storage_owned(y), lx.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, t: &Tensor, _: &Tensor, g: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let taken =
            |to_x: bool| x.detach().apply_op2_no_bwd(&t.detach().contiguous()?, &Side { kind: self.0, to_x })?.mul(g);
        let dx = if x.track_op() { Some(taken(true)?) } else { None };
        let dt = match t.track_op() {
            true if t.dims() == x.dims() => Some(taken(false)?),
            true => Some(taken(false)?.sum_keepdim(0)?),
            false => None,
        };
        Ok((dx, dt))
    }
}

/// Ones where the gradient goes to x (or else to t), zeros elsewhere.
struct Side {
    kind: Kind,
    to_x: bool,
}

impl CustomOp2 for Side {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, t: &CpuStorage, lt: &Layout) -> Result<(CpuStorage, Shape)> {
        for_float!(self.name(), x, T => {
            let (x, t) = (slice::<T>(self.name(), x, lx)?, slice::<T>(self.name(), t, lt)?);
            let mut side = vec![T::ZERO; x.len()];
            zip_parts(&mut side, x, t, |side, x, t| {
                let (to_x, to_t) = self.kind.sides(x, t);
                if if self.to_x { to_x } else { to_t } {
                    *side = T::ONE;
                }
            });
            Ok((WithDType::to_cpu_storage_owned(side), lx.shape().clone()))
        })
    }
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        for_float!(self.name(), x, T => {
            let x = slice::<T>(self.name(), x, lx)?;
            let mut y = vec![T::ZERO; x.len()];
            y.par_chunks_mut(PART).zip(x.par_chunks(PART)).for_each(|(y, x)| {
                y.iter_mut().zip(x).for_each(|(y, x)| *y = positive(*x));
            });
            Ok((WithDType::to_cpu_storage_owned(y), lx.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        x.detach().gt(0.0)?.to_dtype(g.dtype())?.mul(g).map(Some)
    }
}
