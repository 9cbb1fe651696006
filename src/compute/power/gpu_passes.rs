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
    /// As numbers of this type, times the size of a map by the norms of its rows if there is one: those of the rows before `first`, and
    /// of the rows from there on.
    pub fn values(&self, size: Option<&Tensor>, dtype: DType, first: usize) -> Result<[Tensor; 2]> {
        let rows = self.sums.dim(0)?;
        let own = |rows: usize| room(rows.max(1), dtype, self.sums.device());
        let (norms, last) = (own(first)?, own(rows - first)?);
        let tensors = [Arg::Tensor(&self.sums), size.into(), (&norms).into(), (&last).into()];
        let counts = [rows, self.pieces, size.map_or(0, Tensor::elem_count), first].map(Arg::Count);
        launch(SOURCE, "norms_of_rows", &norms, Blocks::Elements(rows), &[&tensors[..], &counts].concat())?;
        // Of none there is room for one that nobody has written.
        Ok([norms.narrow(0, 0, first)?, last.narrow(0, 0, rows - first)?])
    }

    /// Those of some rows.
    pub fn rows(&self, from: usize, count: usize) -> Result<Self> {
        Ok(Self { sums: self.sums.narrow(0, from, count)?, pieces: self.pieces })
    }

    /// `x` `[B, ...]`, whose norms these are, each row divided by its own; a zero row stays zero.
    pub fn unit(&self, x: &Tensor) -> Result<Tensor> {
        let (x, n) = (x.contiguous()?, row_len(x)?);
        let (y, own) = (room(x.shape(), x.dtype(), x.device())?, pieces(n, 1));
        let counts = [n, own, self.pieces].map(Arg::Count);
        let args = [&[(&x).into(), (&self.sums).into(), (&y).into()][..], &counts].concat();
        launch(SOURCE, "unit_rows", &x, Blocks::Exactly(x.dim(0)? * own), &args)?;
        Ok(y)
    }
}

/// `w <- I w / (||before|| size)` in place, and its norms. `w` `[B, ...]` must be contiguous and nobody else's; `size` are the norms
/// of the rows of the map's weight. A mask may have fewer rows than w: what lies beyond is not masked.
pub fn pass(w: &Tensor, mask: Option<&Tensor>, before: Option<&Norms>, size: Option<&Tensor>) -> Result<Norms> {
    let (rows, n) = (w.dim(0)?, row_len(w)?);
    let width = width(n, &[w])?;
    let pieces = pieces(n, width);
    let sums = room((rows, pieces, 2), DType::F64, w.device())?;
    let tensors = [w.into(), mask.into(), before.map(|n| &n.sums).into(), size.into(), w.into(), (&sums).into()];
    let others = [before.map_or(0, |b| b.pieces), size.map_or(0, Tensor::elem_count), masked_rows(mask)];
    let counts = [&[n, pieces][..], &others].concat().into_iter().map(Arg::Count).collect::<Vec<_>>();
    let kernel = by_width(width, ["power_pass_1", "power_pass_4"]);
    launch(SOURCE, kernel, w, Blocks::Exactly(rows * pieces), &[&tensors[..], &counts].concat())?;
    Ok(Norms { sums, pieces })
}

/// Rows of norm 0 go on from a generic vector, masked.
pub fn restart(y: &Tensor, mask: Option<&Tensor>, norms: &Norms) -> Result<()> {
    let counts = [row_len(y)?, norms.pieces, masked_rows(mask)].map(Arg::Count);
    let args = [&[y.into(), mask.into(), (&norms.sums).into()][..], &counts].concat();
    launch(SOURCE, "power_restart", y, Blocks::Exactly(y.dim(0)?), &args)
}

fn masked_rows(mask: Option<&Tensor>) -> usize {
    mask.and_then(|mask| mask.dims().first().copied()).unwrap_or(0)
}

/// `g_b v_b / (||u_b|| ||v_b||)`: `g` `[first]` for the first rows, `last` for those from there on, 0 where either is not there.
pub fn envelope(
    v: &Tensor,
    [g, last]: [Option<&Tensor>; 2],
    first: usize,
    of_u: &Norms,
    of_v: &Norms,
) -> Result<Tensor> {
    let (v, n) = (v.contiguous()?, row_len(v)?);
    let y = room(v.shape(), v.dtype(), v.device())?;
    let width = width(n, &[&v, &y])?;
    let own = pieces(n, width);
    let tensors = [(&v).into(), g.into(), last.into(), (&of_u.sums).into(), (&of_v.sums).into(), (&y).into()];
    let counts = [n, own, of_u.pieces, of_v.pieces, first].map(Arg::Count);
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
