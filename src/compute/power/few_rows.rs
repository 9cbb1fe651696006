//! All iterations of one vector through a matrix of few rows, in one kernel: the last layer's norm costs as many launches as it
//! has iterations else.

use crate::compute::gpu::{Arg, Blocks, Source, launch, room};
use candle_core::{DType, Result, Tensor};

/// Most rows that the kernel takes.
const FEW: usize = 64;

/// Does the kernel take this matrix `[O, I]` and this vector `[1, I]`?
pub fn covers(w: &Tensor, u: &Tensor) -> bool {
    w.rank() == 2 && u.dims() == [1, w.dims()[1]] && w.dims()[0] <= FEW && w.dtype() == u.dtype() && w.elem_count() > 0
}

/// Right vector `[1, I]` and left vector `[1, O]`, both unit, and the norm `[1]` after so many iterations from `u`.
pub fn iterate(w: &Tensor, u: &Tensor, iterations: usize) -> Result<[Tensor; 3]> {
    let (w, u, (rows, n)) = (w.detach().contiguous()?, u.detach().contiguous()?, w.dims2()?);
    let own = |shape: &[usize]| room(shape, w.dtype(), w.device());
    let (right, left, sigma) = (own(&[1, n])?, own(&[1, rows])?, own(&[1])?);
    let gram = room((rows, rows), DType::F64, w.device())?;
    let tensors = [&w, &u, &right, &left, &sigma, &gram].map(Arg::Tensor);
    let args = [&tensors[..], &[rows, n, iterations].map(Arg::Count)].concat();
    launch(Source::Power, "power_few_rows", &w, Blocks::Exactly(1), &args)?;
    Ok([right, left, sigma])
}
