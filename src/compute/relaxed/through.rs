//! A linear function below something, in terms of what is before an activation
//!
//! ```text
//! a . f(z)  >=  a' . z + k        for all z in the box of the lines  ls z + lo <= f(z) <= us z + uo
//! a'_i = a_i ls_i where a_i > 0, a_i us_i elsewhere      k = sum_i (a_i lo_i where a_i > 0, a_i uo_i elsewhere)
//! ```
//!
//! With a bias `[1, n...]` of an affine layer before, whose outputs z are, k also holds `<a', bias>`. One pass over `a`; its parts above and below 0 and their products are never stored. Gradients go to `a` and to the four lines; at
//! a = 0 that of `a` is the upper line's.

use super::held::Held;
use super::significant::significant;
use super::{cpu, gpu as fused};
use crate::compute::autograd::Argument;
use crate::compute::autograd::{Arrived, Node, value_of};
use crate::compute::element::for_dtype;
use crate::compute::gpu;
use candle_core::{Result, Tensor, bail};

/// Lines of one shape `[B, n...]`, in this order.
#[derive(Clone, Debug)]
pub struct Given {
    pub lower_slope: Tensor,
    pub upper_slope: Tensor,
    pub lower_offset: Tensor,
    pub upper_offset: Tensor,
    /// `[1, n...]`, of the layer before.
    pub bias: Option<Tensor>,
}

impl Given {
    pub fn all(&self) -> [&Tensor; 4] {
        [&self.lower_slope, &self.upper_slope, &self.lower_offset, &self.upper_offset]
    }
}

/// `a` `[B, S, n...]` through the lines: the coefficients a' of its shape and the constants k `[B, S]`.
pub fn through(a: &Tensor, lines: &Given) -> Result<(Tensor, Tensor)> {
    let (batch, rows) = match a.dims() {
        [batch, rows, _, ..] => (*batch, *rows),
        dims => bail!("linear bound: coefficients want a shape [B, S, ...], got {dims:?}"),
    };
    let want = [&[batch], &a.dims()[2..]].concat();
    if let Some(wrong) = lines.all().into_iter().find(|t| t.dims() != want || t.dtype() != a.dtype()) {
        bail!(
            "linear bound: lines want {want:?} in {:?}, as coefficients {:?} have it, got {:?} in {:?}",
            a.dtype(),
            a.dims(),
            wrong.dims(),
            wrong.dtype()
        );
    }
    let one = [&[1], &a.dims()[2..]].concat();
    if let Some(wrong) = lines.bias.as_ref().filter(|bias| bias.dims() != one || bias.dtype() != a.dtype()) {
        bail!("linear bound: a bias wants {one:?} in {:?}, got {:?} in {:?}", a.dtype(), wrong.dims(), wrong.dtype());
    }
    let (a, bias) = (a.contiguous()?, lines.bias.as_ref().map(Tensor::contiguous).transpose()?);
    let [ls, us, lo, uo] = lines.all().map(|t| t.contiguous());
    let lines = [ls?, us?, lo?, uo?];
    let arguments = std::iter::once(&a).chain(&lines).chain(&bias).map(Argument::of).collect();
    let lines = lines.each_ref().map(Tensor::detach);
    let held = Held { a: a.detach(), lines, bias: bias.map(|bias| bias.detach()), sizes: [batch, rows] };
    let (coefficients, constant) = forward(&held)?;
    let node = Node::argument("linear bound", arguments, move |arrived: Arrived, wanted: &[bool]| {
        let [to_coefficients, to_constant] = arrived.split([0..1, 1..2])?;
        backward(&held, to_coefficients, to_constant, wanted)
    });
    match node {
        Argument::Constant => Ok((coefficients, constant)),
        // Two values of one node: its rows by name.
        node => Ok((value_of(&node.rows(0..1), coefficients)?, value_of(&node.rows(1..2), constant)?)),
    }
}

fn forward(held: &Held) -> Result<(Tensor, Tensor)> {
    if gpu::has_kernel(&held.a) {
        return fused::forward(held);
    }
    for_dtype!("linear bound", held.a.dtype(), T => cpu::forward::<T>(held))
}

fn backward(held: &Held, g: Option<Tensor>, gk: Option<Tensor>, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
    let whole = |g: Option<Tensor>, shape: &[usize]| -> Result<Tensor> {
        match g {
            Some(g) => g.reshape(shape)?.contiguous(),
            None => Tensor::zeros(shape, held.a.dtype(), held.a.device()),
        }
    };
    let (g, gk) = (whole(g, held.a.dims())?, significant(&whole(gk, &held.sizes)?)?);
    let mut found = match gpu::has_kernel(&held.a) {
        true => fused::backward(held, &g, &gk)?,
        false => for_dtype!("linear bound", held.a.dtype(), T => cpu::backward::<T>(held, &g, &gk, wanted))?,
    };
    // <a', bias> hangs on the bias as the constants do on offsets: by slope times the sum of a gk on either side.
    if wanted.get(5) == Some(&true)
        && let [_, _, _, Some(below), Some(above)] = found.as_slice()
    {
        let [ls, us, ..] = &held.lines;
        found.push(Some(((ls * below)? + (us * above)?)?.sum_keepdim(0)?));
    }
    Ok(found)
}
