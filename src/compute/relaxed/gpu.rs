//! The passes by our kernels: forward a block for each row, backward a thread for each position of a sample, over all its rows.

use super::held::Held;
use crate::compute::gpu::{Arg, Blocks, Source, launch, room};
use candle_core::{Result, Tensor};

const SOURCE: Source = Source::Relaxed;

pub fn forward(held: &Held) -> Result<(Tensor, Tensor)> {
    let (a, [batch, rows]) = (&held.a, held.sizes);
    let out = room(a.shape(), a.dtype(), a.device())?;
    let constants = room((batch, rows), a.dtype(), a.device())?;
    let [ls, us, lo, uo] = held.lines.each_ref();
    let bias = Arg::from(held.bias.as_ref());
    let args = [a, ls, us, lo, uo, &out, &constants].map(Arg::Tensor);
    let args = [&args[..], &[bias, held.len().into(), rows.into()]].concat();
    launch(SOURCE, "lines_forward", a, Blocks::Exactly(batch * rows), &args)?;
    Ok((out, constants))
}

pub fn backward(held: &Held, g: &Tensor, gk: &Tensor) -> Result<Vec<Option<Tensor>>> {
    let (a, [batch, rows]) = (&held.a, held.sizes);
    let da = room(a.shape(), a.dtype(), a.device())?;
    let own = |like: &Tensor| room(like.shape(), like.dtype(), like.device());
    let found = held.lines.iter().map(own).collect::<Result<Vec<_>>>()?;
    let [ls, us, lo, uo] = held.lines.each_ref();
    let tensors = [a, ls, us, lo, uo, g, gk, &da].into_iter().chain(&found);
    let counts = [held.len(), batch, rows].map(Arg::Count);
    let bias = std::iter::once(Arg::from(held.bias.as_ref()));
    let args: Vec<_> = tensors.map(Arg::Tensor).chain(bias).chain(counts).collect();
    launch(SOURCE, "lines_backward", a, Blocks::Elements(batch * held.len()), &args)?;
    Ok(std::iter::once(Some(da)).chain(found.into_iter().map(Some)).collect())
}
