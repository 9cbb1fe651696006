//! Images to frequencies and back: `[B, C, n, n]` and `[F, B, 2 C]`, real parts before imaginary ones.

use super::tables::{Tables, tables};
use crate::compute::autograd::differentiable;
use candle_core::{Result, Tensor};

/// How many frequencies an image of n x n has.
pub fn frequencies(n: usize) -> usize {
    n * (n / 2 + 1)
}

/// By rows with `columns` `[n, (m, 2)]`, then by columns.
pub fn analyse(x: &Tensor, tables: &Tables, columns: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op3_no_bwd(columns, &tables.rows, &super::cpu::Analyse);
    }
    let (batch, channels, n, _) = x.dims4()?;
    let (planes, m) = (batch * channels, n / 2 + 1);
    let half = x.contiguous()?.reshape((planes * n, n))?.matmul(columns)?;
    let half = half.reshape((planes, n, m, 2))?.permute((0, 2, 3, 1))?.contiguous()?;
    let whole = half.reshape((planes * m, 2 * n))?.matmul(&tables.rows)?;
    let whole = whole.reshape(vec![batch, channels, m, 2, n])?.permute(vec![2, 4, 0, 3, 1])?.contiguous()?;
    whole.reshape((m * n, batch, 2 * channels))
}

/// The other way, with `columns` `[(m, 2), n]`.
pub fn synthesise(y: &Tensor, tables: &Tables, columns: &Tensor) -> Result<Tensor> {
    if y.device().is_cpu() {
        return y.contiguous()?.apply_op3_no_bwd(columns, &tables.rows_back, &super::cpu::Synthesise);
    }
    let (_, batch, channels) = y.dims3()?;
    let (channels, n) = (channels / 2, columns.dim(1)?);
    let (planes, m) = (batch * channels, n / 2 + 1);
    let whole = y.contiguous()?.reshape(vec![m, n, batch, 2, channels])?.permute(vec![2, 4, 0, 3, 1])?.contiguous()?;
    let half = whole.reshape((planes * m, 2 * n))?.matmul(&tables.rows_back)?;
    let half = half.reshape((planes, m, 2, n))?.permute((0, 3, 1, 2))?.contiguous()?;
    half.reshape((planes * n, 2 * m))?.matmul(columns)?.reshape((batch, channels, n, n))
}

/// To frequencies, with gradient.
pub fn analysed(x: &Tensor) -> Result<Tensor> {
    let tables = tables(x.dim(2)?, x.dtype(), x.device())?;
    let y = analyse(&x.detach(), &tables, &tables.columns)?;
    differentiable("analyse", y, [x; 3], move |g, _| {
        Ok((Some(synthesise(g, &tables, &tables.columns_turned)?), None, None))
    })
}

/// The inverse, with gradient.
pub fn synthesised(y: &Tensor, n: usize) -> Result<Tensor> {
    let tables = tables(n, y.dtype(), y.device())?;
    let x = synthesise(&y.detach(), &tables, &tables.columns_back)?;
    differentiable("synthesise", x, [y; 3], move |g, _| {
        Ok((Some(analyse(g, &tables, &tables.columns_weighted)?), None, None))
    })
}
