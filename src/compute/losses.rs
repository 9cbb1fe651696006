//! Losses and accuracies of logits `[B, C]` with labels `[B]`, u32 and checked: see train/losses. One kernel each way.

use super::autograd::differentiable;
use super::gpu::{Arg, Blocks, Source, launch, room};
use candle_core::{DType, Result, Tensor};

const SOURCE: Source = Source::Losses;

/// The arguments in memory, batch and classes.
fn read(logits: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor, [usize; 2])> {
    let (batch, classes) = logits.dims2()?;
    Ok((logits.detach().contiguous()?, y.contiguous()?, [batch, classes]))
}

/// Cross-entropy of each sample `[B]`, or with `mean` their mean, a scalar.
pub fn cross_entropy(logits: &Tensor, y: &Tensor, mean: bool) -> Result<Tensor> {
    let (x, y, [batch, classes]) = read(logits, y)?;
    let (kernel, shape, blocks) = match mean {
        true => ("cross_entropy", &[][..], Blocks::Exactly(1)),
        false => ("cross_entropies", &[batch][..], Blocks::Elements(batch)),
    };
    let loss = room(shape, x.dtype(), x.device())?;
    launch(SOURCE, kernel, &x, blocks, &[(&x).into(), (&y).into(), (&loss).into(), batch.into(), classes.into()])?;
    differentiable("cross_entropy", loss, [logits; 3], move |g, _| {
        let d = room(x.shape(), x.dtype(), x.device())?;
        let share = if mean { 1.0 / batch as f64 } else { 0.0 };
        let tensors = [&x, &y, g, &d].map(Arg::Tensor);
        let args = [&tensors[..], &[batch.into(), classes.into(), share.into()]].concat();
        launch(SOURCE, "cross_entropy_backward", &x, Blocks::Elements(batch), &args)?;
        Ok((Some(d), None, None))
    })
}

/// The margins `[B]`, no gradient.
pub fn margins(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (x, y, [batch, classes]) = read(logits, y)?;
    let margins = room(batch, x.dtype(), x.device())?;
    let args = [(&x).into(), (&y).into(), (&margins).into(), batch.into(), classes.into()];
    launch(SOURCE, "margins", &x, Blocks::Elements(batch), &args)?;
    Ok(margins)
}

/// The share of samples whose margin is above 0 and finite, a scalar in f32.
pub fn accuracy(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (x, y, [batch, classes]) = read(logits, y)?;
    let share = room((), DType::F32, x.device())?;
    let args = [(&x).into(), (&y).into(), (&share).into(), batch.into(), classes.into()];
    launch(SOURCE, "accuracy", &x, Blocks::Exactly(1), &args)?;
    Ok(share)
}

/// Logits with the largest worst logit of the other classes behind them, `[B, C + 1]`.
pub fn gloro_logits(logits: &Tensor, worst: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (x, y, [batch, classes]) = read(logits, y)?;
    let w = worst.detach().contiguous()?;
    let out = room((batch, classes + 1), x.dtype(), x.device())?;
    let args = [&[&x, &w, &y, &out].map(Arg::Tensor)[..], &[batch.into(), classes.into()]].concat();
    launch(SOURCE, "gloro_logits", &x, Blocks::Elements(batch), &args)?;
    let kept = out.copy()?;
    differentiable("gloro_logits", out, [logits, worst, worst], move |g, _| {
        let [of_logits, of_worst] = [(); 2].map(|()| room(w.shape(), w.dtype(), w.device()));
        let (of_logits, of_worst) = (of_logits?, of_worst?);
        let tensors = [&w, &kept, &y, g, &of_logits, &of_worst].map(Arg::Tensor);
        let args = [&tensors[..], &[batch.into(), classes.into()]].concat();
        launch(SOURCE, "gloro_logits_backward", &w, Blocks::Elements(batch), &args)?;
        Ok((Some(of_logits), Some(of_worst), None))
    })
}
