//! The rise of every logit as one operation on a device with kernels of our own: the counterpart of
//! [`crate::bounds::margin::gap`], without a table of the differences w_j - w_y, and nothing read back. All sums are in
//! f64. Where the CPU sorts breakpoints, the kernel does clip-and-enlarge to its end: the clipped set follows from one
//! number, and the end is the exact solution.

use crate::bounds::margin::worst_solve::Rule;
use crate::compute::autograd::differentiable;
use crate::compute::gpu::{Arg, Blocks, Source, launch, room};
use candle_core::{DType, Result, Tensor};

const SOURCE: Source = Source::Worst;

/// The rule and its iterations as the kernel knows them.
fn number(rule: Rule) -> [Arg<'static>; 2] {
    match rule {
        Rule::Exact => [Arg::Count(0), Arg::Count(0)],
        Rule::Clip { iterations } => [Arg::Count(1), Arg::Count(iterations)],
        Rule::Ball => [Arg::Count(2), Arg::Count(0)],
        Rule::Box => [Arg::Count(3), Arg::Count(0)],
    }
}

/// The rise `[B, C]`: `weight` `[C, F]`, `gaps` `[2, B, F]`, low <= 0 <= high, `radius` `[B]`, `y` `[B]` u32. All of a sample's are NaN
/// where its radius is NaN or infinite, and the rule reads it.
pub fn margin_gap(rule: Rule, weight: &Tensor, gaps: &Tensor, radius: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (classes, features) = weight.dims2()?;
    let (batch, dtype, device) = (gaps.dim(1)?, weight.dtype(), weight.device().clone());
    let bounds = gaps.contiguous()?;
    let (weight, radius, y) = (weight.contiguous()?, radius.contiguous()?, y.contiguous()?);
    let (w, b, r) = (weight.detach(), bounds.detach(), radius.detach());
    let ends = move |t: &Tensor| Ok::<_, candle_core::Error>((t.get(0)?, t.get(1)?));
    let value = room((batch, classes), dtype, &device)?;
    let [reach, factor] = [(); 2].map(|()| room((batch, classes), DType::F64, &device));
    let (reach, factor) = (reach?, factor?);
    let (lows, highs) = ends(&b)?;
    let tensors = [&w, &lows, &highs, &r, &y, &value, &reach, &factor].map(Into::into);
    let args = [&tensors[..], &[classes.into(), features.into()], &number(rule)].concat();
    launch(SOURCE, "worst_forward", &w, Blocks::Exactly(batch * classes), &args)?;
    differentiable("worst_logits", value, [&weight, &bounds, &radius], move |g, [to_w, ..]| {
        let (lows, highs) = ends(&b)?;
        let (d_bounds, d_radius) = (room(b.shape(), dtype, &device)?, room(batch, dtype, &device)?);
        let (d_lows, d_highs) = ends(&d_bounds)?;
        let tensors = [&w, &lows, &highs, &r, &y, g, &reach, &factor, &d_lows, &d_highs, &d_radius].map(Into::into);
        let args = [&tensors[..], &[classes.into(), features.into()]].concat();
        launch(SOURCE, "worst_backward_region", &w, Blocks::Exactly(batch), &args)?;
        let d_weight = to_w.then(|| {
            let d = room(w.shape(), dtype, &device)?;
            let tensors = [&w, &lows, &highs, &y, g, &reach, &factor, &d].map(Into::into);
            let args = [&tensors[..], &[batch.into(), classes.into(), features.into()]].concat();
            launch(SOURCE, "worst_backward_weight", &w, Blocks::Exactly(classes * features.div_ceil(32)), &args)?;
            Ok::<_, candle_core::Error>(d)
        });
        Ok((d_weight.transpose()?, Some(d_bounds), Some(d_radius)))
    })
}
