//! The product of norms, `[B]` or `[1]` each: `y = a b c ...`, with gradients `g` times all the others.

use crate::compute::autograd::{Argument, Arrived, Node, value_of};
use crate::compute::gpu;
use crate::compute::gpu::{Arg, Blocks, Source, launch, room};
use candle_core::{Result, Tensor, bail};

/// Most factors of one kernel.
const FACTORS: usize = 8;

/// The product of at least one tensor, each `[B]` or `[1]`, of one type: `[B]`, or `[1]` where all are.
pub fn norm_product(factors: &[&Tensor]) -> Result<Tensor> {
    let [first, rest @ ..] = factors else { bail!("norm_product: no factors") };
    if rest.is_empty() {
        return Ok((*first).clone());
    }
    let n = factors.iter().map(|t| t.elem_count()).find(|n| *n != 1).unwrap_or(1);
    for factor in factors {
        if factor.rank() != 1 || ![1, n].contains(&factor.elem_count()) || factor.dtype() != first.dtype() {
            let shapes: Vec<_> = factors.iter().map(|t| (t.dims(), t.dtype())).collect();
            bail!("norm_product: factors [B] or [1] of one type are wanted, got {shapes:?}");
        }
    }
    if factors.len() > FACTORS {
        let (some, rest) = factors.split_at(FACTORS);
        return norm_product(&[&[&norm_product(some)?][..], rest].concat());
    }
    let values: Vec<Tensor> = factors.iter().map(|t| t.detach().contiguous()).collect::<Result<_>>()?;
    let value = forward(&values, n)?;
    let arguments: Vec<Argument> = factors.iter().map(|t| Argument::of(t)).collect();
    let shape = value.shape().clone();
    let node = Node::argument("norm_product", arguments, move |arrived: Arrived, wanted| {
        backward(&values, &arrived.whole(&shape)?.tensor.contiguous()?, wanted)
    });
    value_of(&node, value)
}

fn forward(factors: &[Tensor], n: usize) -> Result<Tensor> {
    let first = &factors[0];
    if !gpu::has_kernel(first) {
        return factors[1..].iter().try_fold(first.clone(), |y, factor| y.broadcast_mul(factor));
    }
    let y = room(n, first.dtype(), first.device())?;
    let args = [&eight(factors.iter().map(Some))[..], &[(&y).into(), n.into(), for_all(factors, n).into()]].concat();
    launch(Source::Region, "product_of", &y, Blocks::Elements(n), &args)?;
    Ok(y)
}

fn backward(factors: &[Tensor], g: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
    let n = g.elem_count();
    let like = |factor: &Tensor| room(factor.shape(), factor.dtype(), factor.device());
    if gpu::has_kernel(g) {
        let found: Vec<Option<Tensor>> =
            factors.iter().zip(wanted).map(|(f, wanted)| wanted.then(|| like(f)).transpose()).collect::<Result<_>>()?;
        let (read, written) = (eight(factors.iter().map(Some)), eight(found.iter().map(Option::as_ref)));
        let args = [&read[..], &[g.into()], &written, &[n.into(), for_all(factors, n).into()]].concat();
        launch(Source::Region, "product_back", g, Blocks::Exactly(1), &args)?;
        return Ok(found);
    }
    let one = |(at, factor): (usize, &Tensor)| {
        let others = factors.iter().enumerate().filter(|(other, _)| *other != at);
        let d = others.map(|(_, factor)| factor).try_fold(g.clone(), |d, factor| d.broadcast_mul(factor))?;
        if factor.elem_count() != n { d.sum_keepdim(0) } else { Ok(d) }
    };
    let each = factors.iter().enumerate().zip(wanted);
    each.map(|(factor, wanted)| wanted.then(|| one(factor)).transpose()).collect()
}

fn eight<'a>(tensors: impl Iterator<Item = Option<&'a Tensor>>) -> Vec<Arg<'a>> {
    tensors.map(Arg::from).chain(std::iter::repeat(Arg::Absent)).take(FACTORS).collect()
}

/// A bit for each that stands for all samples.
fn for_all(factors: &[Tensor], n: usize) -> usize {
    factors.iter().enumerate().filter(|(_, f)| f.elem_count() != n).map(|(k, _)| 1 << k).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::autograd;
    use candle_core::{Device, Var};

    #[test]
    fn as_products_one_by_one() -> Result<()> {
        let var = |values: &[f64]| Var::new(values, &Device::Cpu);
        let mut vars = vec![var(&[2.0, -3.0, 0.0])?, var(&[0.5])?, var(&[1.5, 4.0, 7.0])?];
        for k in 0..8 {
            vars.push(var(&[1.0 + 0.25 * f64::from(k)])?);
        }
        let all: Vec<&Tensor> = vars.iter().map(Var::as_tensor).collect();
        let weights = Tensor::new(&[1.0, 10.0, 100.0], &Device::Cpu)?;
        let here = norm_product(&all)?;
        let there = all[1..].iter().try_fold(all[0].clone(), |y, factor| y.broadcast_mul(factor))?;
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(values(&here), values(&there));
        let (a, b) = (autograd::backward(&(here * &weights)?)?, autograd::backward(&(there * &weights)?)?);
        for var in &vars {
            let (a, b) = (values(a.get(var).unwrap()), values(b.get(var).unwrap()));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12 * b.abs().max(1.0)), "{a:?} {b:?}");
        }
        assert!(
            norm_product(&[]).is_err() && norm_product(&[all[0], &Tensor::new(&[1.0, 2.0], &Device::Cpu)?]).is_err()
        );
        Ok(())
    }
}
