//! The passes of a power iteration with a fixed number of steps: vectors are kept as long as the products make them, and
//! their norms beside them, as sums over pieces. Each pass is one sweep over memory.
//!
//! ```text
//! pass      y <- I w / (||x|| ||W||_F),  where w = W x          and ||y|| is known with it
//! unit      y / ||y||
//! envelope  g v / (||u|| ||v||)
//! ```
//!
//! Vectors may be halves (fp16), whose range is small: then the weight is divided by the norm m of its largest row, a pass scales to
//! norm sqrt(n) and makes good what the one before lacked of it, and the envelope is taken over the largest |g|.
//!
//! ```text
//! pass      y <- I w sqrt(n) (sqrt(k) / ||x||) / ||x||,  where w = (W / m) x, x of k numbers
//! ```

use crate::compute::gpu::{Arg, Blocks, Source, by_width, launch, pieces, room, width};
use candle_core::{DType, Result, Tensor};

const SOURCE: Source = Source::Passes;

/// The norms of the rows of a tensor `[B, ...]`, as sums over pieces of each row.
#[derive(Clone, Debug)]
pub struct Norms {
    pub(crate) sums: Tensor,
    pub(crate) pieces: usize,
    /// Numbers of a row.
    len: usize,
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

    /// The norms of a map, by those of right vectors in halves, which these are, and of the left ones that they were made of; `size` are the
    /// norms of the rows of its weight.
    pub fn of_map(&self, left: &Self, size: &Tensor, dtype: DType, first: usize) -> Result<[Tensor; 2]> {
        let rows = self.sums.dim(0)?;
        let own = |rows: usize| room(rows.max(1), dtype, self.sums.device());
        let (norms, last) = (own(first)?, own(rows - first)?);
        let tensors = [&self.sums, &left.sums, size, &norms, &last].map(Arg::Tensor);
        let counts = [rows, self.pieces, left.pieces, size.elem_count(), first, self.len, left.len].map(Arg::Count);
        launch(SOURCE, "norms_of_halves", &norms, Blocks::Elements(rows), &[&tensors[..], &counts].concat())?;
        Ok([norms.narrow(0, 0, first)?, last.narrow(0, 0, rows - first)?])
    }

    /// Those of some rows.
    pub fn rows(&self, from: usize, count: usize) -> Result<Self> {
        Ok(Self { sums: self.sums.narrow(0, from, count)?, ..*self })
    }

    /// `x` `[B, ...]`, whose norms these are, each row divided by its own, in f32 where it is halves; a zero row stays zero.
    pub fn unit(&self, x: &Tensor) -> Result<Tensor> {
        let (x, n) = (x.contiguous()?, row_len(x)?);
        let dtype = if is_half(&x) { DType::F32 } else { x.dtype() };
        let (y, own) = (room(x.shape(), dtype, x.device())?, pieces(n, 1));
        let counts = [n, own, self.pieces].map(Arg::Count);
        let args = [&[(&x).into(), (&self.sums).into(), (&y).into()][..], &counts].concat();
        launch(SOURCE, named(&x, ["unit_rows", "unit_rows_halves"]), &x, Blocks::Exactly(x.dim(0)? * own), &args)?;
        Ok(y)
    }
}

/// `w <- I w / (||before|| size)` in place, and its norms. `w` `[B, ...]` must be contiguous and nobody else's; `size` are the norms
/// of the rows of the map's weight, none for halves, whose weight is [`weight_halves`]. A mask may have fewer rows than w: what lies beyond
/// is not masked.
pub fn pass(w: &Tensor, mask: Option<&Tensor>, before: Option<&Norms>, size: Option<&Tensor>) -> Result<Norms> {
    let (rows, n) = (w.dim(0)?, row_len(w)?);
    let width = width(n, &[w])?;
    let pieces = pieces(n, width);
    let sums = room((rows, pieces, 2), DType::F64, w.device())?;
    let tensors = [w.into(), mask.into(), before.map(|n| &n.sums).into(), size.into(), w.into(), (&sums).into()];
    let (others, length) = before.map_or((0, 0), |before| (before.pieces, before.len));
    let others = [others, size.map_or(0, Tensor::elem_count), masked_rows(mask), length];
    let counts = [&[n, pieces][..], &others].concat().into_iter().map(Arg::Count).collect::<Vec<_>>();
    let kernels = [["power_pass_1", "power_pass_4"], ["power_pass_halves_1", "power_pass_halves_4"]];
    let kernel = by_width(width, kernels[usize::from(is_half(w))]);
    launch(SOURCE, kernel, w, Blocks::Exactly(rows * pieces), &[&tensors[..], &counts].concat())?;
    Ok(Norms { sums, pieces, len: n })
}

/// Rows of norm 0 go on from a generic vector, masked.
pub fn restart(y: &Tensor, mask: Option<&Tensor>, norms: &Norms) -> Result<()> {
    let counts = [row_len(y)?, norms.pieces, masked_rows(mask)].map(Arg::Count);
    let args = [&[y.into(), mask.into(), (&norms.sums).into()][..], &counts].concat();
    launch(SOURCE, named(y, ["power_restart", "power_restart_halves"]), y, Blocks::Exactly(y.dim(0)?), &args)
}

fn is_half(x: &Tensor) -> bool {
    x.dtype() == DType::F16
}

/// The kernel for these numbers: the one for T, or for halves.
fn named(x: &Tensor, [own, halves]: [&'static str; 2]) -> &'static str {
    if is_half(x) { halves } else { own }
}

/// A map's weight as halves, divided by the norm of its largest row and times a constant that [`pass`] knows; `norms` are those of all rows.
pub fn weight_halves(w: &Tensor, norms: &Tensor) -> Result<Tensor> {
    let (y, n) = (room(w.shape(), DType::F16, w.device())?, w.elem_count());
    let args = [w.into(), norms.into(), (&y).into(), n.into(), norms.elem_count().into()];
    launch(SOURCE, "weight_halves", w, Blocks::Elements(n), &args)?;
    Ok(y)
}

fn masked_rows(mask: Option<&Tensor>) -> usize {
    mask.and_then(|mask| mask.dims().first().copied()).unwrap_or(0)
}

/// `g_b v_b / (||u_b|| ||v_b||)`: `g` `[first]` for the first rows, `last` for those from there on, 0 where either is not there. Halves are
/// scaled so that no number of a gradient that is made of them leaves their range; [`slope_of_halves`] undoes that.
pub fn envelope(
    v: &Tensor,
    [g, last]: [Option<&Tensor>; 2],
    first: usize,
    of_u: &Norms,
    of_v: &Norms,
) -> Result<Tensor> {
    let (v, n, rows) = (v.contiguous()?, row_len(v)?, v.dim(0)?);
    let y = room(v.shape(), v.dtype(), v.device())?;
    let width = width(n, &[&v, &y])?;
    let own = pieces(n, width);
    let tensors = [(&v).into(), g.into(), last.into(), (&of_u.sums).into(), (&of_v.sums).into(), (&y).into()];
    let counts = [n, own, of_u.pieces, of_v.pieces, first].map(Arg::Count);
    let (kernels, of_halves) = match is_half(&v) {
        false => (["envelope_1", "envelope_4"], &[][..]),
        true => (["envelope_halves_1", "envelope_halves_4"], &[Arg::Count(rows)][..]),
    };
    let args = [&tensors[..], &counts, of_halves].concat();
    launch(SOURCE, by_width(width, kernels), &v, Blocks::Exactly(rows * own), &args)?;
    Ok(y)
}

/// The gradient, in f32, that a product `d` of halves with their [`envelope`] of so many rows stands for.
pub fn slope_of_halves(d: &Tensor, [g, last]: [Option<&Tensor>; 2], first: usize, rows: usize) -> Result<Tensor> {
    let (d, n) = (d.contiguous()?, d.elem_count());
    let y = room(d.shape(), DType::F32, d.device())?;
    let args = [&[(&d).into(), g.into(), last.into(), (&y).into()][..], &[n, first, rows].map(Arg::Count)].concat();
    launch(SOURCE, "slope_of_halves", &d, Blocks::Elements(n), &args)?;
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
