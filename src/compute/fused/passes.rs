//! The passes of a power iteration with a fixed number of steps: vectors are kept as long as the products make them, and
//! their norms beside them, as sums over pieces. Each pass is one sweep over memory.
//!
//! ```text
//! pass      y <- I w / ||x||,  where w is the product of x      and ||y|| is known with it
//! unit      y / ||y||
//! envelope  g v / (||u|| ||v||)
//! ```

use crate::compute::kernels::{Arg, Blocks, Source, by_width, launch, pieces, room, width};
use candle_core::{DType, Result, Tensor};

const SOURCE: Source = Source::Passes;

/// The norms of the rows of a tensor `[B, ...]`, as sums over pieces of each row.
#[derive(Clone, Debug)]
pub struct Norms {
    pub(crate) sums: Tensor,
    pub(crate) pieces: usize,
}

fn row_len(x: &Tensor) -> Result<usize> {
    Ok(x.elem_count() / x.dim(0)?.max(1))
}

impl Norms {
    /// As numbers of this type, `[B]`.
    pub fn values(&self, dtype: DType) -> Result<Tensor> {
        let rows = self.sums.dim(0)?;
        let norms = room(rows, dtype, self.sums.device())?;
        let args = [(&self.sums).into(), (&norms).into(), rows.into(), self.pieces.into()];
        launch(SOURCE, "norms_of_rows", &norms, Blocks::Elements(rows), &args)?;
        Ok(norms)
    }

    /// `x`, whose norms these are, each row divided by its own; a zero row stays zero.
    pub fn unit(&self, x: &Tensor) -> Result<Tensor> {
        let (x, n) = (x.contiguous()?, row_len(x)?);
        let (y, own) = (room(x.shape(), x.dtype(), x.device())?, pieces(n, 1));
        let counts = [n, own, self.pieces].map(Arg::Count);
        let args = [&[(&x).into(), (&self.sums).into(), (&y).into()][..], &counts].concat();
        launch(SOURCE, "unit_rows", &x, Blocks::Exactly(x.dim(0)? * own), &args)?;
        Ok(y)
    }
}

/// `w <- I w / ||before||` in place, and its norms. `w` `[B, ...]` must be contiguous and nobody else's.
pub fn pass(w: &Tensor, mask: Option<&Tensor>, before: Option<&Norms>) -> Result<Norms> {
    let (rows, n) = (w.dim(0)?, row_len(w)?);
    let width = width(n, &[w])?;
    let pieces = pieces(n, width);
    let sums = room((rows, pieces, 2), DType::F64, w.device())?;
    let tensors = [w.into(), mask.into(), before.map(|b| &b.sums).into(), w.into(), (&sums).into()];
    let counts = [n, pieces, before.map_or(0, |b| b.pieces)].map(Arg::Count);
    let kernel = by_width(width, ["power_pass_1", "power_pass_4"]);
    launch(SOURCE, kernel, w, Blocks::Exactly(rows * pieces), &[&tensors[..], &counts].concat())?;
    Ok(Norms { sums, pieces })
}

/// Rows of norm 0 go on from a generic vector, masked.
pub fn restart(y: &Tensor, mask: Option<&Tensor>, norms: &Norms) -> Result<()> {
    let args = [y.into(), mask.into(), (&norms.sums).into(), row_len(y)?.into(), norms.pieces.into()];
    launch(SOURCE, "power_restart", y, Blocks::Exactly(y.dim(0)?), &args)
}

/// `g_b v_b / (||u_b|| ||v_b||)`.
pub fn envelope(v: &Tensor, g: &Tensor, of_u: &Norms, of_v: &Norms) -> Result<Tensor> {
    let (v, g, n) = (v.contiguous()?, g.detach().contiguous()?, row_len(v)?);
    let y = room(v.shape(), v.dtype(), v.device())?;
    let width = width(n, &[&v, &y])?;
    let own = pieces(n, width);
    let tensors = [&v, &g, &of_u.sums, &of_v.sums, &y].map(Arg::Tensor);
    let counts = [n, own, of_u.pieces, of_v.pieces].map(Arg::Count);
    let kernel = by_width(width, ["envelope_1", "envelope_4"]);
    launch(SOURCE, kernel, &v, Blocks::Exactly(v.dim(0)? * own), &[&tensors[..], &counts].concat())?;
    Ok(y)
}

/// `I x`, where there is a mask.
pub fn masked(x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let Some(mask) = mask else { return x.contiguous() };
    let x = x.contiguous()?;
    let (y, n) = (room(x.shape(), x.dtype(), x.device())?, x.elem_count());
    let args = [(&x).into(), mask.into(), (&y).into(), n.into()];
    launch(Source::Power, "mask_samples", &x, Blocks::Elements(n), &args)?;
    Ok(y)
}
