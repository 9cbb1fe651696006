//! Norms of the rows of a matrix, and its rows divided by them
//!
//! ```text
//! row_norms   [O, I] to [O]       n_o = ||w_o||      gradient g_o w_o / n_o
//! unit_rows   [O, I] to [O, I]    w_o / n_o          gradient (g_o - w_o <g_o, w_o> / n_o^2) / n_o
//! ```
//!
//! A zero row has norm 0, stays a zero row, and has gradient 0, where plain square roots would give NaN. Squares are summed in f64.

use super::gpu as fused;
use crate::compute::autograd::differentiable;
use crate::compute::element::{Element, Host, for_dtype, for_float, slice};
use crate::compute::gpu;
use crate::compute::simd::wide_loop;
use crate::compute::unwritten::{unwritten, written};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
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

/// The rows of `w` divided by their norms, on any device.
pub fn unit_rows(w: &Tensor) -> Result<Tensor> {
    let w = w.contiguous()?;
    let (own, rows) = (w.detach(), w.dim(0)?);
    let norms = row_norms(&own)?;
    if w.device().is_cpu() && !gpu::has_kernel(&w) {
        let value = gradient(&own, &norms, &norms.ones_like()?)?;
        return differentiable("unit_rows", value, [&w; 3], move |g, _| {
            Ok((Some(across(&own, &norms, g)?), None, None))
        });
    }
    // Of a zero row 0 / 1, and no gradient.
    let is_zero = norms.eq(0.0)?.to_dtype(norms.dtype())?.reshape((rows, 1))?;
    let norms = (norms.reshape((rows, 1))? + &is_zero)?;
    let value = own.broadcast_div(&norms)?;
    let unit = value.copy()?;
    differentiable("unit_rows", value, [&w; 3], move |g, _| {
        let along = (g * &unit)?.sum_keepdim(1)?;
        let d = (g - unit.broadcast_mul(&along)?)?.broadcast_div(&norms)?;
        Ok((Some(d.broadcast_mul(&(1.0 - &is_zero)?)?), None, None))
    })
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
            wide_loop(
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

/// `(g_o - w_o <g_o, w_o> / n_o^2) / n_o`.
fn across(w: &Tensor, norms: &Tensor, g: &Tensor) -> Result<Tensor> {
    let (_, columns) = w.dims2()?;
    let (ws, ns, gs) = (Host::of(w), Host::of(norms), Host::of(g));
    for_dtype!("unit_rows", w.dtype(), T => {
        let (ws, ns, gs) = (ws.slice::<T>()?, ns.slice::<T>()?, gs.slice::<T>()?);
        let mut d = unwritten(ws.len());
        let columns = columns.max(1);
        let parts = d.par_chunks_mut(columns).zip(ws.par_chunks(columns)).zip(gs.par_chunks(columns));
        parts.enumerate().for_each(|(row, ((d, w), g))| {
            let n = ns[row].wide();
            // In f64: the squares of small rows leave f32.
            let (own, along) = if n == 0.0 { (0.0, 0.0) } else { (1.0 / n, product(w, g) / (n * n)) };
            wide_loop(
                #[inline(always)]
                || d.iter_mut().zip(w).zip(g).for_each(|((d, w), g)| {
                    d.write(T::of((g.wide() - w.wide() * along) * own));
                }),
            );
        });
        // SAFETY: every row has been written.
        Tensor::from_vec(unsafe { written(d) }, w.shape(), w.device())
    })
}

fn norm<T: Element>(row: &[T]) -> f64 {
    product(row, row).sqrt()
}

/// `<a, b>`.
fn product<T: Element>(a: &[T], b: &[T]) -> f64 {
    wide_loop(
        #[inline(always)]
        || {
            let mut sums = [0.0; 16];
            for (a, b) in a.chunks(16).zip(b.chunks(16)) {
                for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += a.wide() * b.wide();
                }
            }
            sums.iter().sum::<f64>()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::autograd::backward;
    use candle_core::{Device, Var};

    #[test]
    fn unit_rows_have_norm_1_and_the_gradient_of_differences() -> Result<()> {
        let at = |t: f64| -> Result<Tensor> {
            let rows: Vec<f64> = (0..40).map(|i| if i < 20 { 0.3 * (f64::from(i) + t).sin() } else { 0.0 }).collect();
            Tensor::from_vec(rows, (2, 20), &Device::Cpu)
        };
        let along = Tensor::arange(0.0, 40.0, &Device::Cpu)?.reshape((2, 20))?.cos()?;
        let w = Var::from_tensor(&at(0.0)?)?;
        let y = unit_rows(&w)?;
        let norms = row_norms(&y.detach())?.to_vec1::<f64>()?;
        assert!((norms[0] - 1.0).abs() < 1e-15 && norms[1] == 0.0, "a row of zeros stays one: {norms:?}");
        let gradients = backward(&(y * &along)?.sum_all()?)?;
        let own = gradients.get(&w).expect("its gradient");
        let h = 1e-6;
        let moved = ((at(h)? - at(-h)?)? / (2.0 * h))?;
        let value = |t: f64| -> Result<f64> { (unit_rows(&at(t)?)? * &along)?.sum_all()?.to_scalar() };
        let (found, wanted) = ((own * moved)?.sum_all()?.to_scalar::<f64>()?, (value(h)? - value(-h)?) / (2.0 * h));
        assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
        assert!(own.get(1)?.to_vec1::<f64>()?.iter().all(|g| *g == 0.0));
        Ok(())
    }
}
