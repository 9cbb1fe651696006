//! MaxMin: the larger and the smaller of each pair of channels, one of either half, cut at thresholds where there are any
//!
//! ```text
//! y = [min(max(p, q), most), max(min(p, q), least)]      x = [p, q] along axis 1
//! ```
//!
//! As the chain of `larger` and `smaller` that it is: at p = q the gradients are q's, at a threshold they are the threshold's, and a NaN
//! on either side comes out as NaN.

use super::clip::Kind;
use crate::compute::autograd::differentiable;
use crate::compute::element::{Element, Host, for_dtype};
use crate::compute::gpu;
use crate::compute::gpu::{Arg, Blocks, Source, launch, room};
use crate::compute::unwritten::{unwritten, written};
use candle_core::{D, Result, Tensor, bail};
use rayon::prelude::*;

/// `x` `[B, C, ...]` with its pairs sorted; `thresholds` are most and least, `[1, C/2, ...]` each.
pub fn sorted_pairs(x: &Tensor, thresholds: Option<(&Tensor, &Tensor)>) -> Result<Tensor> {
    let half = x.dims()[1..].iter().product::<usize>() / 2;
    of_pairs(x, thresholds, half, &[&[1, x.dim(1)? / 2], &x.dims()[2..]].concat())
}

/// The same for `x` `[B, ..., C]` with thresholds `[1, ..., C/2]`, where [`gpu::on`] its device.
pub fn sorted_pairs_last(x: &Tensor, thresholds: Option<(&Tensor, &Tensor)>) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    of_pairs(x, thresholds, half, &[&[1], &x.dims()[1..x.rank() - 1], &[half]].concat())
}

/// `half` numbers lie between those of a pair.
fn of_pairs(x: &Tensor, thresholds: Option<(&Tensor, &Tensor)>, half: usize, wanted: &[usize]) -> Result<Tensor> {
    let x = x.contiguous()?;
    for threshold in thresholds.iter().flat_map(|(most, least)| [*most, *least]) {
        if threshold.dims() != wanted || threshold.dtype() != x.dtype() {
            bail!("maxmin: thresholds {:?} do not fit activations {:?}", threshold.dims(), x.dims());
        }
    }
    let cut = thresholds.map(|(most, least)| Ok::<_, candle_core::Error>((most.contiguous()?, least.contiguous()?)));
    let cut = cut.transpose()?;
    let pairs = Pairs { x: x.detach(), cut: cut.as_ref().map(|(most, least)| [most.detach(), least.detach()]), half };
    let y = pairs.forward()?;
    let (most, least) = cut.as_ref().map_or((&x, &x), |(most, least)| (most, least));
    differentiable("maxmin", y, [&x, most, least], move |g, wanted| {
        let [dx, most, least] = pairs.backward(g, wanted)?;
        Ok((dx, most, least))
    })
}

struct Pairs {
    x: Tensor,
    cut: Option<[Tensor; 2]>,
    half: usize,
}

/// The larger and the smaller.
#[inline(always)]
fn sorted<T: Element>(p: T, q: T) -> (T, T) {
    (Kind::Larger.value(p, q), Kind::Smaller.value(p, q))
}

#[inline(always)]
fn passed<T: Element>(taken: bool, g: T) -> T {
    if taken { g } else { T::ZERO }
}

impl Pairs {
    /// Pairs, and after how many the thresholds start over, as kernels take them.
    fn counts(&self) -> [Arg<'_>; 3] {
        let (pairs, period) = (self.x.elem_count() / 2, self.cut.as_ref().map_or(1, |[most, _]| most.elem_count()));
        [pairs, self.half, period.max(1)].map(Arg::Count)
    }

    fn thresholds(&self) -> [Option<&Tensor>; 2] {
        self.cut.as_ref().map_or([None, None], |[most, least]| [Some(most), Some(least)])
    }

    fn forward(&self) -> Result<Tensor> {
        let (x, half) = (&self.x, self.half);
        if gpu::has_kernel(x) {
            let y = room(x.shape(), x.dtype(), x.device())?;
            let [most, least] = self.thresholds().map(Arg::from);
            let pairs = x.elem_count() / 2;
            let args = [&[x.into(), most, least, (&y).into()][..], &self.counts()].concat();
            launch(Source::Sorted, "pairs_forward", x, Blocks::Elements(pairs), &args)?;
            return Ok(y);
        }
        for_dtype!("maxmin", x.dtype(), T => {
            let (own, cut) = (Host::of(x), self.cut.as_ref().map(|cut| cut.each_ref().map(Host::of)));
            let cut = cut.as_ref().map(|[most, least]| Ok::<_, candle_core::Error>([most.slice::<T>()?, least.slice::<T>()?]));
            let (own, cut) = (own.slice::<T>()?, cut.transpose()?);
            let mut y = unwritten(own.len());
            y.par_chunks_mut((2 * half).max(1)).zip(own.par_chunks((2 * half).max(1))).for_each(|(room, x)| {
                let ((p, q), (top, bottom)) = (x.split_at(half), room.split_at_mut(half));
                for i in 0..half {
                    let (mut larger, mut smaller) = sorted(p[i], q[i]);
                    if let Some([most, least]) = cut {
                        larger = Kind::Smaller.value(larger, most[i]);
                        smaller = Kind::Larger.value(smaller, least[i]);
                    }
                    top[i].write(larger);
                    bottom[i].write(smaller);
                }
            });
            // SAFETY: every number of every sample has been written.
            Tensor::from_vec(unsafe { written(y) }, x.shape(), x.device())
        })
    }

    /// Of x and both thresholds.
    fn backward(&self, g: &Tensor, [_, to_most, to_least]: [bool; 3]) -> Result<[Option<Tensor>; 3]> {
        let (x, half) = (&self.x, self.half);
        let wanted = self.cut.is_some() && (to_most || to_least);
        if gpu::has_kernel(x) {
            let d = room(x.shape(), x.dtype(), x.device())?;
            let [most, least] = self.thresholds().map(Arg::from);
            let pairs = x.elem_count() / 2;
            let args = [&[x.into(), most, least, g.into(), (&d).into()][..], &self.counts()].concat();
            launch(Source::Sorted, "pairs_backward", x, Blocks::Elements(pairs), &args)?;
            let found = self.cut.as_ref().filter(|_| wanted).map(|cut| {
                let own = |like: &Tensor| room(like.shape(), like.dtype(), like.device());
                let (of_most, of_least) = (own(&cut[0])?, own(&cut[1])?);
                let tensors = [x, &cut[0], &cut[1], g, &of_most, &of_least].map(Arg::Tensor);
                let args = [&tensors[..], &self.counts()].concat();
                launch(Source::Sorted, "pairs_thresholds", x, Blocks::Elements(cut[0].elem_count()), &args)?;
                Ok::<_, candle_core::Error>([of_most, of_least])
            });
            let [most, least] = found.transpose()?.map_or([None, None], |[most, least]| [Some(most), Some(least)]);
            return Ok([Some(d), most, least]);
        }
        for_dtype!("maxmin", x.dtype(), T => {
            let (own, gradient) = (Host::of(x), Host::of(g));
            let cut = self.cut.as_ref().map(|cut| cut.each_ref().map(Host::of));
            let cut = cut.as_ref().map(|[most, least]| Ok::<_, candle_core::Error>([most.slice::<T>()?, least.slice::<T>()?]));
            let (own, gradient, cut) = (own.slice::<T>()?, gradient.slice::<T>()?, cut.transpose()?);
            let mut d = unwritten(own.len());
            let all = (2 * half).max(1);
            d.par_chunks_mut(all).zip(own.par_chunks(all)).zip(gradient.par_chunks(all)).for_each(|((room, x), g)| {
                let ((p, q), (of_top, of_bottom)) = (x.split_at(half), g.split_at(half));
                let (of_p, of_q) = room.split_at_mut(half);
                for i in 0..half {
                    let ((larger, smaller), (mut top, mut bottom)) = (sorted(p[i], q[i]), (of_top[i], of_bottom[i]));
                    if let Some([most, least]) = cut {
                        top = passed(Kind::Smaller.sides(larger, most[i]).0, top);
                        bottom = passed(Kind::Larger.sides(smaller, least[i]).0, bottom);
                    }
                    let (larger, smaller) = (Kind::Larger.sides(p[i], q[i]), Kind::Smaller.sides(p[i], q[i]));
                    of_p[i].write(passed(larger.0, top) + passed(smaller.0, bottom));
                    of_q[i].write(passed(larger.1, top) + passed(smaller.1, bottom));
                }
            });
            // SAFETY: every number of every sample has been written.
            let d = Tensor::from_vec(unsafe { written(d) }, x.shape(), x.device())?;
            let Some([most, least]) = cut.filter(|_| wanted) else { return Ok([Some(d), None, None]) };
            let (mut of_most, mut of_least) = (vec![T::ZERO; half], vec![T::ZERO; half]);
            /// Numbers that one task takes through all samples, so that their sums have an order of their own.
            const PART: usize = 1 << 10;
            of_most.par_chunks_mut(PART).zip(of_least.par_chunks_mut(PART)).enumerate().for_each(|(part, (tops, bottoms))| {
                for (x, g) in own.chunks(all).zip(gradient.chunks(all)) {
                    for (at, (top, bottom)) in tops.iter_mut().zip(bottoms.iter_mut()).enumerate() {
                        let i = part * PART + at;
                        let (larger, smaller) = sorted(x[i], x[half + i]);
                        *top += passed(Kind::Smaller.sides(larger, most[i]).1, g[i]);
                        *bottom += passed(Kind::Larger.sides(smaller, least[i]).1, g[half + i]);
                    }
                }
            });
            let [m, l] = self.thresholds();
            let tensor = |values: Vec<T>, like: Option<&Tensor>| like.map(|t| Tensor::from_vec(values, t.shape(), t.device()));
            Ok([Some(d), tensor(of_most, m).transpose()?, tensor(of_least, l).transpose()?])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;
    use crate::compute::autograd::backward;
    use crate::compute::elementwise::clip::{larger, smaller};
    use candle_core::{DType, Device, Var};

    /// Values and gradients are those of the chain, at ties, thresholds and NaN too.
    #[test]
    fn as_the_chain_of_larger_and_smaller() -> Result<()> {
        let random = Generator::new(6);
        let draw = |shape: &[usize]| random.normal(0.0, 1.0, shape.to_vec(), DType::F64, &Device::Cpu);
        let mut numbers = draw(&[7, 6, 5, 3])?.flatten_all()?.to_vec1::<f64>()?;
        // Pairs of the first sample: a tie, both at thresholds, a NaN on either side.
        (numbers[0], numbers[45]) = (0.3, 0.3);
        (numbers[1], numbers[46]) = (0.25, -0.5);
        (numbers[2], numbers[48]) = (f64::NAN, f64::NAN);
        let x = Var::from_vec(numbers, (7, 6, 5, 3), &Device::Cpu)?;
        let (mut most, mut least) = (draw(&[45])?.to_vec1::<f64>()?, draw(&[45])?.to_vec1::<f64>()?);
        (most[1], least[1]) = (0.25, -0.5);
        let cut = |values| Var::from_vec(values, (1, 3, 5, 3), &Device::Cpu);
        let (most, least) = (cut(most)?, cut(least)?);
        let chain = |cut: bool| {
            let (p, q) = (x.narrow(1, 0, 3)?, x.narrow(1, 3, 3)?);
            let (top, bottom) = (larger(&p, &q)?, smaller(&p, &q)?);
            match cut {
                true => Tensor::cat(&[smaller(&top, &most)?, larger(&bottom, &least)?], 1),
                false => Tensor::cat(&[top, bottom], 1),
            }
        };
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let same = |a: &Tensor, b: &Tensor| {
            let near = |(a, b): (&f64, &f64)| a.is_nan() && b.is_nan() || (a - b).abs() < 1e-12;
            values(a).iter().zip(&values(b)).all(near)
        };
        let weights = draw(&[7, 6, 5, 3])?;
        for cut in [false, true] {
            let here = sorted_pairs(&x, cut.then_some((most.as_tensor(), least.as_tensor())))?;
            let there = chain(cut)?;
            assert!(same(&here, &there), "{cut}");
            let (a, b) = (backward(&(here * &weights)?)?, backward(&(there * &weights)?)?);
            for var in [&x, &most, &least].into_iter().take(if cut { 3 } else { 1 }) {
                assert!(same(a.get(var).unwrap(), b.get(var).unwrap()), "{cut}: {:?}", var.dims());
            }
        }
        assert!(sorted_pairs(&x, Some((&most, &x))).is_err());
        Ok(())
    }
}
