//! A diagonal of numbers, one for all samples or one for each: `W_b x = d_b x`. What an activation is where its slopes are known.

use super::affine::{Affine, Dense, Rounding, Structure};
use crate::compute::precision::Precision;
use candle_core::{DType, Device, Result, Tensor, bail};
use std::rc::Rc;

/// `slopes` `[1 or B, ...]`, constant.
#[derive(Clone, Debug)]
pub struct Scaled {
    pub slopes: Tensor,
}

impl Scaled {
    fn by(&self, x: &Tensor, slopes: &Tensor) -> Result<Tensor> {
        if slopes.dim(0)? != 1 && slopes.dim(0)? != x.dim(0)? {
            bail!("a map with slopes for {} samples was given {}", slopes.dim(0)?, x.dim(0)?);
        }
        x.broadcast_mul(slopes)
    }
}

impl Affine for Scaled {
    fn dense(&self) -> Option<Dense> {
        None
    }

    fn structure(&self) -> Result<Option<Structure>> {
        Ok(None)
    }

    fn numbers(&self) -> (DType, Device) {
        (self.slopes.dtype(), self.slopes.device().clone())
    }

    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.apply(x, precision)
    }

    fn apply(&self, x: &Tensor, _: Precision) -> Result<Tensor> {
        self.by(x, &self.slopes)
    }

    fn adjoint(&self, y: &Tensor, _: Precision) -> Result<Tensor> {
        self.by(y, &self.slopes)
    }

    fn apply_absolute(&self, h: &Tensor, _: Precision) -> Result<Tensor> {
        self.by(h, &self.slopes.abs()?)
    }

    fn row_norms(&self) -> Result<Tensor> {
        let (batch, channels) = (self.slopes.dim(0)?, self.slopes.dim(1)?);
        self.slopes.abs()?.reshape((batch, channels, ()))?.max(2)?.max_keepdim(0)
    }

    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        Ok(y.clone())
    }

    fn is_trained(&self) -> bool {
        false
    }

    fn terms(&self) -> usize {
        1
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn weight(&self) -> Option<&Tensor> {
        None
    }

    fn rounding(&self) -> Result<Rounding> {
        bail!("affine: a map with slopes for each sample does not run in a network, so nothing says how f32 rounds it")
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        Rc::new(Self { slopes: self.slopes.detach() })
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        // The slopes of one sample are one map for all.
        if self.slopes.dim(0)? == 1 {
            return Ok(None);
        }
        let one = |b| Ok(Rc::new(Self { slopes: self.slopes.narrow(0, b, 1)? }) as Rc<dyn Affine>);
        (0..self.slopes.dim(0)?).map(one).collect::<Result<_>>().map(Some)
    }

    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}
