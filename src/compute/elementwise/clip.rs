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

use super::gpu as fused;
use super::loops;
use crate::compute::autograd::tape::Tracked;
use crate::compute::autograd::{Arriving, differentiable};
use crate::compute::element::{Element, Host, for_dtype, for_float, slice};
use crate::compute::gpu;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, InplaceOp2, Layout, Result, Shape, Tensor, WithDType, bail,
};
use std::sync::{Mutex, PoisonError};

/// `max(x, 0)`, gradient 0 at 0.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if gpu::has_kernel(x) {
        return fused::relu(x);
    }
    if !x.device().is_cpu() {
        // candle's relu on other devices; adding 0 x keeps a NaN.
        return x.relu()? + (x * 0.0)?;
    }
    let x = x.contiguous()?;
    let xs = x.detach();
    differentiable("relu", xs.apply_op1_no_bwd(&Relu)?, [&x; 3], move |g, _| {
        Ok((Some(xs.gt(0.0)?.to_dtype(g.dtype())?.mul(g)?), None, None))
    })
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
    if gpu::has_kernel(x) {
        return fused::side(kind.name(), x, t, kind.side());
    }
    if !x.device().is_cpu() {
        return on_device(x, t, kind);
    }
    let (x, t) = (x.contiguous()?, t.contiguous()?);
    let (xs, ts) = (x.detach(), t.detach());
    let y = xs.apply_op2_no_bwd(&ts, &Value(kind))?;
    differentiable(kind.name(), y, [&x, &t, &t], move |g, [to_x, to_t, _]| {
        let (dx, dt) = kind.gradients(&xs, &ts, g, (to_x, to_t))?;
        Ok((dx, dt, None))
    })
}

/// Which of two numbers is taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
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

    fn side(self) -> fused::Side {
        match self {
            Kind::Clip => fused::Side::Clip,
            Kind::Smaller => fused::Side::Smaller,
            Kind::Larger => fused::Side::Larger,
        }
    }

    /// Written so that every comparison with a NaN ends at the NaN.
    #[inline(always)]
    pub(super) fn value<T: Element>(self, x: T, t: T) -> T {
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
    #[inline(always)]
    pub(super) fn sides<T: Element>(self, x: T, t: T) -> (bool, bool) {
        match self {
            Kind::Clip => (x < t && x > T::ZERO, x >= t && t >= T::ZERO),
            Kind::Smaller => (x < t, x >= t),
            Kind::Larger => (x > t, x <= t),
        }
    }

    /// Those of x and t, where wanted.
    fn gradients(
        self,
        x: &Tensor,
        t: &Tensor,
        g: &Tensor,
        wanted: (bool, bool),
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (xs, ts, gs) = (Host::of(x), Host::of(t), Host::of(g));
        for_dtype!(self.name(), x.dtype(), T => {
            let (a, b, c) = (xs.slice::<T>()?, ts.slice::<T>()?, gs.slice::<T>()?);
            let (dx, dt) = match self {
                Kind::Clip => loops::sides(a, b, c, wanted, |x, t| Kind::Clip.sides(x, t)),
                Kind::Smaller => loops::sides(a, b, c, wanted, |x, t| Kind::Smaller.sides(x, t)),
                Kind::Larger => loops::sides(a, b, c, wanted, |x, t| Kind::Larger.sides(x, t)),
            };
            let tensor = |values: Vec<T>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
            Ok((dx.map(|d| tensor(d, x)).transpose()?, dt.map(|d| tensor(d, t)).transpose()?))
        })
    }
}

#[inline(always)]
fn is_nan<T: Element>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

#[inline(always)]
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

struct Value(Kind);

impl CustomOp2 for Value {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, t: &CpuStorage, lt: &Layout) -> Result<(CpuStorage, Shape)> {
        for_float!(self.name(), x, T => {
            let (x, t) = (slice::<T>(self.name(), x, lx)?, slice::<T>(self.name(), t, lt)?);
            let y = match self.0 {
                Kind::Clip => loops::combine(x, t, |x, t| Kind::Clip.value(x, t)),
                Kind::Smaller => loops::combine(x, t, |x, t| Kind::Smaller.value(x, t)),
                Kind::Larger => loops::combine(x, t, |x, t| Kind::Larger.value(x, t)),
            };
            Ok((WithDType::to_cpu_storage_owned(y), lx.shape().clone()))
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
            let y = loops::map(slice::<T>(self.name(), x, lx)?, positive);
            Ok((WithDType::to_cpu_storage_owned(y), lx.shape().clone()))
        })
    }
}

/// [`clip`] of several batches `[N, B, ...]` as one tensor whose gradient candle does not see, on the CPU or where [`gpu::has_kernel`].
pub fn clip_tracked(x: &Tracked, threshold: &Tensor) -> Result<Tracked> {
    for_dtype!("clip", threshold.dtype(), T => clip_typed::<T>(x, threshold))
}

fn clip_typed<T: Element>(x: &Tracked, threshold: &Tensor) -> Result<Tracked> {
    let (xs, ts) = (x.value().contiguous()?, threshold.contiguous()?.detach());
    let neuron = &ts.dims()[1..];
    // [batches, samples, neurons], and one threshold per neuron.
    let fits = xs.rank() == ts.rank() + 1 && xs.dims().ends_with(neuron);
    if ts.dim(0)? != 1 || ts.elem_count() == 0 || !fits {
        bail!("clip: a threshold {:?} does not fit activations {:?}", ts.dims(), xs.dims());
    }
    let to_threshold = threshold.track_op();
    if gpu::has_kernel(&xs) {
        let y = fused::side_value(&xs, &ts, fused::Side::Clip)?;
        return Ok(x.then("clip", y, threshold, &ts.clone(), move |gradient, to_x| {
            let g = gradient.tensor.contiguous()?;
            let (dx, dt) = fused::side_gradients(&xs, &ts, &g, (to_x, to_threshold), fused::Side::Clip)?;
            Ok((dx, dt, None))
        }));
    }
    let y = {
        let (x, t) = (Host::of(&xs), Host::of(&ts));
        loops::combine(x.slice::<T>()?, t.slice()?, |x, t| Kind::Clip.value(x, t))
    };
    let y = Tensor::from_vec(y, xs.shape(), xs.device())?;
    Ok(x.then("clip", y, threshold, &ts.clone(), move |Arriving { tensor: g, alone }, to_x| {
        let g = g.contiguous()?;
        if alone && to_x {
            // In place of the gradient that arrives: a set of activations less at the peak.
            let step = InPlace { t: ts.clone(), to_threshold, found: Mutex::new(None) };
            g.inplace_op2(&xs, &step)?;
            let dt = step.found.into_inner().unwrap_or_else(PoisonError::into_inner);
            return Ok((Some(g), dt, None));
        }
        let (x, t, g) = (Host::of(&xs), Host::of(&ts), Host::of(&g));
        let wanted = (to_x, to_threshold);
        let sides = |x, t| Kind::Clip.sides(x, t);
        let (dx, dt) = loops::sides(x.slice::<T>()?, t.slice()?, g.slice()?, wanted, sides);
        let tensor = |values: Vec<T>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((dx.map(|d| tensor(d, &xs)).transpose()?, dt.map(|d| tensor(d, &ts)).transpose()?, None))
    }))
}

/// A clip's gradients: that of x in place of the one that arrives, that of the thresholds in `found`.
struct InPlace {
    t: Tensor,
    to_threshold: bool,
    found: Mutex<Option<Tensor>>,
}

impl InplaceOp2 for InPlace {
    fn name(&self) -> &'static str {
        "clip"
    }

    fn cpu_fwd(&self, g: &mut CpuStorage, lg: &Layout, x: &CpuStorage, lx: &Layout) -> Result<()> {
        match g {
            CpuStorage::F32(g) => self.run(g, lg, slice(self.name(), x, lx)?),
            CpuStorage::F64(g) => self.run(g, lg, slice(self.name(), x, lx)?),
            _ => bail!("clip: its gradient is neither f32 nor f64"),
        }
    }
}

impl InPlace {
    fn run<T: Element>(&self, g: &mut [T], layout: &Layout, x: &[T]) -> Result<()> {
        let Some((from, to)) = layout.contiguous_offsets() else { bail!("clip: its gradient is not contiguous") };
        let t = Host::of(&self.t);
        let sides = |x, t| Kind::Clip.sides(x, t);
        let dt = loops::sides_in_place(x, t.slice::<T>()?, &mut g[from..to], self.to_threshold, sides);
        let dt = dt.map(|d| Tensor::from_vec(d, self.t.shape(), self.t.device())).transpose()?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = dt;
        Ok(())
    }
}

/// `1` where `upper > 0` and `lower < t`, element by element, on the CPU or where [`gpu::has_kernel`];
/// written so that a NaN gives 1. No gradient.
pub fn between(lower: &Tensor, upper: &Tensor, t: &Tensor) -> Result<Tensor> {
    if lower.dims() != upper.dims()
        || lower.rank() != t.rank()
        || t.dims()[0] != 1
        || lower.dims()[1..] != t.dims()[1..]
    {
        bail!("varying: a box {:?} to {:?} does not fit a threshold {:?}", lower.dims(), upper.dims(), t.dims());
    }
    if gpu::has_kernel(lower) {
        return fused::between(lower, upper, &t.detach());
    }
    let (lower, upper, t) = (lower.contiguous()?, upper.contiguous()?, t.contiguous()?);
    lower.apply_op3_no_bwd(&upper, &t, &Between)
}

struct Between;

impl CustomOp3 for Between {
    fn name(&self) -> &'static str {
        "varying"
    }

    fn cpu_fwd(
        &self,
        lower: &CpuStorage,
        ll: &Layout,
        upper: &CpuStorage,
        lu: &Layout,
        t: &CpuStorage,
        lt: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let op = self.name();
        for_float!(op, lower, T => {
            let t = slice::<T>(op, t, lt)?;
            let above = loops::map(slice::<T>(op, upper, lu)?, |u| u8::from(u > T::ZERO || is_nan(u)));
            let below = loops::combine(slice::<T>(op, lower, ll)?, t, |l, t| u8::from(l < t || is_nan(l) || is_nan(t)));
            let both = loops::merge(above, &below, |a, b| a & b);
            Ok((CpuStorage::U8(both), ll.shape().clone()))
        })
    }
}
