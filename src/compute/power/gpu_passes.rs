//! The passes of a power iteration with a fixed number of steps: vectors are kept as long as the products make them, and
//! their norms beside them, as sums over pieces. Each pass is one sweep over memory.
//!
//! ```text
//! pass      y <- I w / (||x|| ||W||_F),  where w = W x          and ||y|| is known with it
//! unit      y / ||y||
//! envelope  g v / (||u|| ||v||)
//! ```

use crate::compute::gpu::{Arg, Blocks, Source, by_width, launch, pieces, room, width};
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
    /// The norm of a tensor as a whole, as one row.
    pub fn of_all(x: &Tensor) -> Result<Self> {
        // Whoever wants it adds the pieces up again: few, though each takes longer.
        const MOST: usize = 32;
        let (x, n) = (x.contiguous()?, x.elem_count());
        let pieces = pieces(n, 1).min(MOST);
        let sums = room((1, pieces, 2), DType::F64, x.device())?;
        let args = [(&x).into(), (&sums).into(), n.into(), pieces.into()];
        launch(SOURCE, "sums_of_all", &x, Blocks::Exactly(pieces), &args)?;
        Ok(Self { sums, pieces })
    }

    /// As numbers of this type, `[B]`, times the one norm `size` if there is one.
    pub fn values(&self, size: Option<&Self>, dtype: DType) -> Result<Tensor> {
        let rows = self.sums.dim(0)?;
        let norms = room(rows, dtype, self.sums.device())?;
        let tensors = [(&self.sums).into(), size.map(|s| &s.sums).into(), (&norms).into()];
        let counts = [rows, self.pieces, size.map_or(0, |s| s.pieces)].map(Arg::Count);
        launch(SOURCE, "norms_of_rows", &norms, Blocks::Elements(rows), &[&tensors[..], &counts].concat())?;
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

/// `w <- I w / (||before|| size)` in place, and its norms. `w` `[B, ...]` must be contiguous and nobody else's; `size` is the norm of
/// the map's weight as a whole.
pub fn pass(w: &Tensor, mask: Option<&Tensor>, before: Option<&Norms>, size: Option<&Norms>) -> Result<Norms> {
    let (rows, n) = (w.dim(0)?, row_len(w)?);
    let width = width(n, &[w])?;
    let pieces = pieces(n, width);
    let sums = room((rows, pieces, 2), DType::F64, w.device())?;
    let norms = [before, size].map(|norms| norms.map(|n| &n.sums).into());
    let tensors = [&[w.into(), mask.into()][..], &norms, &[w.into(), (&sums).into()]].concat();
    let counts = [n, pieces, before.map_or(0, |b| b.pieces), size.map_or(0, |s| s.pieces)].map(Arg::Count);
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
