//! A linear map that is a matrix at each frequency, and its adjoint.

use super::tables::tables;
use super::transform::{analyse, frequencies as frequencies_of, synthesise};
use crate::compute::autograd::differentiable;
use crate::compute::linear::strided::batched;
use candle_core::{Result, Tensor, bail};

/// `[B, C, n, n]` through the map whose matrix at each frequency is `spectrum` `[F, 2 O, 2 C]` (real forms of complex ones), to
/// `[B, O, n, n]`; `adjoint`: through the map's adjoint, `[B, O, n, n]` to `[B, C, n, n]`.
pub fn circular(x: &Tensor, spectrum: &Tensor, adjoint: bool) -> Result<Tensor> {
    let ((_, channels, n, width), (frequencies, rows, columns)) = (x.dims4()?, spectrum.dims3()?);
    let wanted = if adjoint { rows } else { columns };
    if n != width || 2 * channels != wanted || frequencies != frequencies_of(n) {
        bail!(
            "circular: images of shape {:?}, and {frequencies} matrices of {rows} x {columns}; square images of {} channels are wanted",
            x.dims(),
            wanted / 2
        );
    }
    let (xs, by) = (x.detach(), spectrum.detach());
    let there = into(&xs, adjoint)?;
    let y = out_of(&through(&there, &by, adjoint)?, n, adjoint)?;
    let there = if spectrum.track_op() { Some(there) } else { None };
    differentiable("circular", y, [x, spectrum, spectrum], move |g, [to_x, to_spectrum, _]| {
        let g = into(g, !adjoint)?;
        let dx = to_x.then(|| out_of(&through(&g, &by, !adjoint)?, n, !adjoint)).transpose()?;
        let of_spectrum = |there: &Tensor| {
            let (from, to) = if adjoint { (&g, there) } else { (there, &g) };
            batched(to, from, [true, false])
        };
        let dw = if to_spectrum { there.as_ref().map(of_spectrum).transpose()? } else { None };
        Ok((dx, dw, None))
    })
}

/// To frequencies: of the map, or of its adjoint, whose transform is the adjoint of the inverse.
fn into(x: &Tensor, adjoint: bool) -> Result<Tensor> {
    let tables = tables(x.dim(2)?, x.dtype(), x.device())?;
    analyse(x, &tables, if adjoint { &tables.columns_weighted } else { &tables.columns })
}

fn out_of(y: &Tensor, n: usize, adjoint: bool) -> Result<Tensor> {
    let tables = tables(n, y.dtype(), y.device())?;
    synthesise(y, &tables, if adjoint { &tables.columns_turned } else { &tables.columns_back })
}

fn through(x: &Tensor, spectrum: &Tensor, adjoint: bool) -> Result<Tensor> {
    batched(x, spectrum, [false, !adjoint])
}
