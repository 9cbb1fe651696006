//! A smooth function element by element, computed in f64 whatever the type, and its slope.

use crate::compute::autograd::with_gradient;
use crate::compute::element::Host;
use candle_core::{DType, Result, Tensor, WithDType};
use rayon::prelude::*;

/// `value(x)` on the CPU, whose gradient is `slope(x)` times that behind it.
pub fn pointwise(
    name: &'static str,
    x: &Tensor,
    value: impl Fn(f64) -> f64 + Sync,
    slope: impl Fn(f64) -> f64 + Send + Sync + 'static,
) -> Result<Tensor> {
    let found = mapped(x, value)?;
    let own = x.detach();
    with_gradient(name, x, &found, move |g| g * mapped(&own, &slope)?)
}

fn mapped(x: &Tensor, f: impl Fn(f64) -> f64 + Sync) -> Result<Tensor> {
    fn each<T: WithDType + Send + Sync>(x: &Tensor, f: impl Fn(f64) -> f64 + Sync) -> Result<Tensor> {
        let host = Host::of(x);
        let values: Vec<T> = host.slice::<T>()?.par_iter().map(|x| T::from_f64(f(x.to_f64()))).collect();
        Tensor::from_vec(values, x.shape(), x.device())
    }
    let x = x.detach().contiguous()?;
    match x.dtype() {
        DType::F64 => each::<f64>(&x, f),
        DType::F32 => each::<f32>(&x, f),
        other => candle_core::bail!("a smooth activation wants f32 or f64, got {other:?}"),
    }
}
