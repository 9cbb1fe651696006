//! The median along an axis, of an even number the lower one of the two in the middle, as in PyTorch. Its gradient goes to the number that it is.

use candle_core::{Result, Tensor, bail};

/// `t` without `axis`.
pub fn median(t: &Tensor, axis: usize) -> Result<Tensor> {
    let n = t.dim(axis)?;
    if n == 0 {
        bail!("median: axis {axis} of {:?} holds no numbers", t.dims());
    }
    let last = t.rank() - 1;
    let along = t.transpose(axis, last)?.contiguous()?;
    let order = along.detach().arg_sort_last_dim(true)?;
    let middle = order.narrow(last, (n - 1) / 2, 1)?.contiguous()?;
    along.gather(&middle, last)?.transpose(axis, last)?.squeeze(axis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::autograd::backward;
    use candle_core::{Device, Var};

    #[test]
    fn of_an_even_number_it_is_the_lower_one() -> Result<()> {
        let x = Var::new(&[[3.0, 1.0, 2.0, 5.0], [0.0, -1.0, 7.0, 7.0]], &Device::Cpu)?;
        assert_eq!(median(&x, 1)?.to_vec1::<f64>()?, [2.0, 0.0]);
        assert_eq!(median(&x, 0)?.to_vec1::<f64>()?, [0.0, -1.0, 2.0, 5.0]);
        let gradients = backward(&median(&x, 1)?.sum_all()?)?;
        let want = [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]];
        assert_eq!(gradients.get(&x).map(Tensor::to_vec2::<f64>).transpose()?, Some(want.map(Vec::from).to_vec()));
        Ok(())
    }
}
