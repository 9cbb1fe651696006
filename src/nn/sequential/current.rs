//! Weights that are functions of parameters, made when the parameters have changed.

use super::network::{Made, Sequential};
use crate::compute::element::Host;
use crate::compute::variables::age;
use crate::nn::LayerSpec;
use candle_core::{DType, Result, Tensor, WithDType};
use std::borrow::Cow;

impl Sequential {
    /// The network whose weights that are functions of parameters are those of the parameters as they are now; itself where there are none.
    /// They are made when parameters have changed: in training on a GPU, where looking would wait for it, when any variable has.
    pub fn current(&self) -> Result<Cow<'_, Self>> {
        if !self.specs.iter().any(LayerSpec::is_derived) {
            return Ok(Cow::Borrowed(self));
        }
        let now: Vec<_> = self.parameters.iter().map(|(_, var)| var.as_tensor()).collect();
        let may_look = self.device.is_cpu() || self.frozen;
        if let Some(made) = self.made.borrow().as_ref() {
            let mut pairs = made.of.iter().zip(&now);
            let is_same = match may_look {
                true => {
                    pairs.try_fold(true, |all, (then, now)| Ok::<_, candle_core::Error>(all && equal(then, now)?))?
                }
                false => made.age == age(),
            };
            if is_same {
                return Ok(Cow::Owned(Self { layers: made.layers.clone(), ..self.clone() }));
            }
        }
        let layers = self.placed()?.into_iter().map(|layer| layer.computed_in(&self.precision));
        let layers: Vec<_> = layers.map(|layer| if self.frozen { layer.frozen() } else { layer }).collect();
        // What nobody may look at is not copied.
        let looked_at = now.iter().filter(|_| may_look);
        let of = looked_at.map(|t| t.detach().copy()).collect::<Result<_>>()?;
        self.made.replace(Some(Made { of, age: age(), layers: layers.clone() }));
        Ok(Cow::Owned(Self { layers, ..self.clone() }))
    }
}

/// Are the numbers of two tensors the same, bit for bit on the CPU?
fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    if !a.device().is_cpu() {
        return Ok(a.ne(b)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? == 0.0);
    }
    let (a, b, dtype) = (a.contiguous()?, b.contiguous()?, a.dtype());
    let (a, b) = (Host::of(&a), Host::of(&b));
    fn same<T: WithDType, B: PartialEq>(a: &Host, b: &Host, bits: impl Fn(&T) -> B) -> Result<bool> {
        Ok(a.slice::<T>()?.iter().map(&bits).eq(b.slice::<T>()?.iter().map(&bits)))
    }
    match dtype {
        DType::F64 => same(&a, &b, |x: &f64| x.to_bits()),
        _ => same(&a, &b, |x: &f32| x.to_bits()),
    }
}
