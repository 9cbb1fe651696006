//! Complex matrices, and the real ones of twice the size that stand for them, `[Re -Im; Im Re]`.

use crate::compute::element::{Element, for_float, slice};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// A complex matrix for each frequency, `[F, O, I]`. Gradients go through its real form and back, where it is not said otherwise.
#[derive(Clone, Debug)]
pub struct Complex {
    pub re: Tensor,
    pub im: Tensor,
}

impl Complex {
    /// The real form, `[F, 2 O, 2 I]`.
    pub fn real_form(&self) -> Result<Tensor> {
        let (re, im) = (self.re.contiguous()?, self.im.contiguous()?);
        if re.device().is_cpu() && !re.track_op() && !im.track_op() {
            return re.apply_op2_no_bwd(&im, &RealForm);
        }
        let above = Tensor::cat(&[&re, &im.neg()?], 2)?;
        Tensor::cat(&[above, Tensor::cat(&[&im, &re], 2)?], 1)
    }

    /// Of a real form that is one. With gradient.
    pub fn of_real_form(t: &Tensor) -> Result<Self> {
        let (_, rows, columns) = t.dims3()?;
        let (o, i) = (rows / 2, columns / 2);
        let part = |from| t.narrow(1, from, o)?.narrow(2, 0, i)?.contiguous();
        Ok(Self { re: part(0)?, im: part(o)? })
    }

    /// Of a real matrix `[F, 2 O, 2 I]`, `times` the sums of the parts that a real form has twice: with a half the nearest real form, with 1 the
    /// gradient in real and imaginary part of one in the real form. No gradient.
    pub fn folded(t: &Tensor, times: f64) -> Result<Self> {
        let t = t.detach().contiguous()?;
        let (_, rows, columns) = t.dims3()?;
        let (o, i) = (rows / 2, columns / 2);
        if t.device().is_cpu() {
            let both = t.apply_op1_no_bwd(&Folded { times })?;
            return Ok(Self { re: both.get(0)?, im: both.get(1)? });
        }
        let part = |row, column| t.narrow(1, row, o)?.narrow(2, column, i);
        let (re, im) = ((part(0, 0)? + part(o, i)?)?, (part(o, 0)? - part(0, i)?)?);
        Ok(Self { re: (re * times)?, im: (im * times)? })
    }

    /// Turned, without conjugation.
    pub fn turned(&self) -> Result<Self> {
        Ok(Self { re: self.re.t()?.contiguous()?, im: self.im.t()?.contiguous()? })
    }

    /// Conjugate numbers.
    pub fn conjugate(&self) -> Result<Self> {
        Ok(Self { re: self.re.clone(), im: self.im.neg()? })
    }

    /// Rows from `from` on.
    pub fn rows(&self, from: usize, count: usize) -> Result<Self> {
        let part = |t: &Tensor| t.narrow(1, from, count)?.contiguous();
        Ok(Self { re: part(&self.re)?, im: part(&self.im)? })
    }

    /// One above the other.
    pub fn above(&self, below: &Self) -> Result<Self> {
        Ok(Self { re: Tensor::cat(&[&self.re, &below.re], 1)?, im: Tensor::cat(&[&self.im, &below.im], 1)? })
    }
}

struct RealForm;

impl CustomOp2 for RealForm {
    fn name(&self) -> &'static str {
        "real_form"
    }

    fn cpu_fwd(&self, re: &CpuStorage, lr: &Layout, im: &CpuStorage, li: &Layout) -> Result<(CpuStorage, Shape)> {
        let (all, o, i) = lr.shape().dims3()?;
        if lr.shape() != li.shape() {
            bail!("real_form: real parts {:?}, imaginary ones {:?}", lr.shape(), li.shape());
        }
        for_float!(self.name(), re, T => {
            let (re, im) = (slice::<T>(self.name(), re, lr)?, slice::<T>(self.name(), im, li)?);
            let mut y: Vec<T> = vec![T::ZERO; 4 * re.len()];
            let one = |(y, (re, im)): (&mut [T], (&[T], &[T]))| {
                let (above, below) = y.split_at_mut(2 * o * i);
                for r in 0..o {
                    let (re, im) = (&re[r * i..][..i], &im[r * i..][..i]);
                    let (a, b) = (&mut above[2 * r * i..][..2 * i], &mut below[2 * r * i..][..2 * i]);
                    a[..i].copy_from_slice(re);
                    a[i..].iter_mut().zip(im).for_each(|(y, x)| *y = -*x);
                    b[..i].copy_from_slice(im);
                    b[i..].copy_from_slice(re);
                }
            };
            let (large, small) = ((4 * o * i).max(1), (o * i).max(1));
            y.par_chunks_mut(large).zip(re.par_chunks(small).zip(im.par_chunks(small))).for_each(one);
            Ok((T::to_cpu_storage_owned(y), Shape::from((all, 2 * o, 2 * i))))
        })
    }
}

struct Folded {
    times: f64,
}

impl CustomOp1 for Folded {
    fn name(&self) -> &'static str {
        "folded"
    }

    fn cpu_fwd(&self, t: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (all, rows, columns) = layout.shape().dims3()?;
        let (o, i) = (rows / 2, columns / 2);
        for_float!(self.name(), t, T => {
            let t = slice::<T>(self.name(), t, layout)?;
            let times = T::of(self.times);
            let mut y: Vec<T> = vec![T::ZERO; 2 * all * o * i];
            let (re, im) = y.split_at_mut(all * o * i);
            let one = |((re, im), t): ((&mut [T], &mut [T]), &[T])| {
                for r in 0..o {
                    let (a, b) = (&t[2 * r * i..][..2 * i], &t[2 * (o + r) * i..][..2 * i]);
                    let (re, im) = (&mut re[r * i..][..i], &mut im[r * i..][..i]);
                    for c in 0..i {
                        re[c] = (a[c] + b[i + c]) * times;
                        im[c] = (b[c] - a[i + c]) * times;
                    }
                }
            };
            let (large, small) = ((4 * o * i).max(1), (o * i).max(1));
            re.par_chunks_mut(small).zip(im.par_chunks_mut(small)).zip(t.par_chunks(large)).for_each(one);
            Ok((T::to_cpu_storage_owned(y), Shape::from((2, all, o, i))))
        })
    }
}
