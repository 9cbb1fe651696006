//! Numbers that lie in tensors of one element each, read back together: on a device with kernels one copy for all of one type.

use super::gpu;
use super::gpu::{Source, launch_over, room};
use candle_core::{DType, Result, Tensor};

/// The number in each tensor, which must hold one.
pub fn numbers(tensors: &[Tensor]) -> Result<Vec<f64>> {
    let mut found = vec![f64::NAN; tensors.len()];
    let mut left: Vec<usize> = (0..tensors.len()).collect();
    while let Some(first) = left.first().map(|at| &tensors[*at]) {
        let alike = |t: &Tensor| t.dtype() == first.dtype() && t.device().same_device(first.device());
        let (own, others): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|at| gpu::has_kernel(first) && alike(&tensors[**at]));
        if own.len() < 2 {
            let at = left.remove(0);
            found[at] = tensors[at].detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?[0];
            continue;
        }
        let own_tensors = own.iter().map(|at| tensors[*at].detach().contiguous()).collect::<Result<Vec<_>>>()?;
        let together = room(own.len(), DType::F64, first.device())?;
        let rows: Vec<Vec<&Tensor>> = own_tensors.iter().map(|t| vec![t]).collect();
        launch_over(Source::Train, "gather_numbers", &rows, &[(&together).into()])?;
        for (at, number) in own.iter().zip(together.to_vec1::<f64>()?) {
            found[*at] = number;
        }
        left = others;
    }
    Ok(found)
}
