//! Norms of the rows of a matrix, `[O, I]` to `[O]`: `n_o = ||w_o||`, gradient `g_o w_o / n_o`; a zero row has norm 0 and
//! gradient 0, where a plain square root would give NaN. Squares are summed in f64.

use super::gpu as fused;
use crate::compute::autograd::differentiable;
use crate::compute::element::{Element, Host, for_dtype, for_float, slice};
use crate::compute::gpu;
use crate::compute::unwritten::{unwritten, written};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use pulp::Arch;
use rayon::prelude::*;

/// The norms of the rows of `w`, on any device.
pub fn row_norms(w: &Tensor) -> Result<Tensor> {
    if gpu::has_kernel(w) {
        return fused::row_norms(w);
    }
    if w.device().is_cpu() {
        let w = w.contiguous()?;
        let norms = w.detach().apply_op1_no_bwd(&RowNorms)?;
        let (ws, ns) = (w.detach(), norms.copy()?);
        return differentiable("row_norms", norms, [&w; 3], move |g, _| Ok((Some(gradient(&ws, &ns, g)?), None, None)));
    }
    let squares = w.sqr()?.sum(1)?;
    let zero = squares.eq(0.0)?;
    let one = squares.ones_like()?;
    zero.where_cond(&squares.zeros_like()?, &zero.where_cond(&one, &squares)?.sqrt()?)
}

struct RowNorms;

impl CustomOp1 for RowNorms {
    fn name(&self) -> &'static str {
        "row_norms"
    }

    fn cpu_fwd(&self, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = lw.shape().dims2()?;
        for_float!(self.name(), w, T => {
            let w = slice::<T>(self.name(), w, lw)?;
            let norm = |row: &[T]| T::of(norm(row));
            let norms: Vec<T> = w.par_chunks(columns.max(1)).map(norm).collect();
            Ok((WithDType::to_cpu_storage_owned(norms), Shape::from(rows)))
        })
    }
}

/// `g_o w_o / n_o`.
fn gradient(w: &Tensor, norms: &Tensor, g: &Tensor) -> Result<Tensor> {
    let (_, columns) = w.dims2()?;
    let (ws, ns, gs) = (Host::of(w), Host::of(norms), Host::of(g));
    for_dtype!("row_norms", w.dtype(), T => {
        let (ws, ns, gs) = (ws.slice::<T>()?, ns.slice::<T>()?, gs.slice::<T>()?);
        let mut d = unwritten(ws.len());
        d.par_chunks_mut(columns.max(1)).zip(ws.par_chunks(columns.max(1))).enumerate().for_each(|(row, (d, w))| {
            let factor = if ns[row] == T::ZERO { T::ZERO } else { gs[row] / ns[row] };
            Arch::new().dispatch(
                #[inline(always)]
                || d.iter_mut().zip(w).for_each(|(d, w)| {
                    d.write(*w * factor);
                }),
            );
        });
        // SAFETY: every row has been written.
        Tensor::from_vec(unsafe { written(d) }, w.shape(), w.device())
    })
}

fn norm<T: Element>(row: &[T]) -> f64 {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut sums = [0.0; 16];
            for part in row.chunks(16) {
                for (sum, w) in sums.iter_mut().zip(part) {
                    *sum += w.wide() * w.wide();
                }
            }
            sums.iter().sum::<f64>().sqrt()
        },
    )
}
