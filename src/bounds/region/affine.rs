//! Through an affine layer, with its norm or without
//!
//! ```text
//! sigma >= ||W||:   center' = W center + b       radius' = sigma radius
//!                   c = W (lower + upper)/2 + b  h = |W| (upper - lower)/2
//!                   lower' = max(c - h, center' - radius ||w_i||)   upper' = min(c + h, center' + radius ||w_i||)
//! box alone:        lower' = c - h   upper' = c + h   radius' = NaN: there is no ball any more
//! ```
//!
//! w_i is the row of output i. sigma enters radius' alone, so a region can go through a layer before its norm is known
//! (`before_norm`, `with_norm`).

use super::parts::{Parts, Region};
use crate::bounds::outward::{self, Outward};
use crate::compute::elementwise::clip::{larger, smaller};
use crate::compute::norms::channels::add_channels;
use crate::compute::norms::norm_product;
use crate::compute::variables::age;
use crate::nn::Layer;
use candle_core::{Result, Tensor, bail};

impl Region {
    /// Through an affine layer whose spectral norm is at most `sigma`: one value for all samples, or one for each.
    pub fn affine(&self, layer: &Layer, sigma: &Tensor) -> Result<Self> {
        if let Some(rounding) = &self.rounding {
            let (center, lower, upper) = (self.center()?, self.lower()?, self.upper()?);
            let here = Outward { center, lower, upper, radius: self.radius.clone(), rounding: rounding.clone() };
            return Self::of_outward(outward::affine(&here, layer, sigma)?);
        }
        self.passed("affine", layer)?.grown("affine", sigma)
    }

    /// Center and box behind an affine layer whose norm nobody has found yet. The radius there is NaN, which certifies nothing, until
    /// [`Self::with_norm`] is given the norm.
    pub fn before_norm(&self, layer: &Layer) -> Result<Self> {
        if self.rounding.is_some() {
            bail!("before_norm: a region that is rounded outward goes through a layer with its norm; take affine");
        }
        self.passed("before_norm", layer)
    }

    fn passed(&self, op: &str, layer: &Layer) -> Result<Self> {
        self.expect_radius(op)?;
        let ungrown = |parts| {
            let unknown = self.unknown.clone();
            let radius = match unknown.get() {
                Some(known) => known.clone(),
                None => {
                    let made = (self.radius.detach() * f64::NAN)?;
                    unknown.get_or_init(|| made).clone()
                }
            };
            Ok(Self { ungrown: Some(self.radius.clone()), unknown, ..Self::of(parts, radius) })
        };
        if let Some(parts) = self.pre_activation(layer)? {
            return ungrown(parts);
        }
        if let Some(parts) = self.closed(layer)? {
            return ungrown(Parts::Ends(parts));
        }
        let reach = self.radius.unsqueeze(1)?.broadcast_mul(&layer.row_norms()?)?;
        if let Some(parts) = self.at_once(layer, &reach)? {
            return ungrown(Parts::Ends(parts));
        }
        let [center, lower, upper] = self.boxed(layer)?;
        let lower = larger(&lower, &add_channels(&center, &reach.neg()?)?)?;
        let upper = smaller(&upper, &add_channels(&center, &reach)?)?;
        ungrown(Self::new(&center, &lower, &upper, self.radius.clone())?.parts)
    }

    /// With the radius behind the layer that it went by [`Self::before_norm`], whose norm is at most `sigma`: one value for all samples, or one
    /// for each.
    pub fn with_norm(&self, sigma: &Tensor) -> Result<Self> {
        self.grown("with_norm", sigma)
    }

    fn grown(&self, op: &str, sigma: &Tensor) -> Result<Self> {
        let Some(before) = &self.ungrown else {
            bail!("{op}: the radius of this region is known; with_norm comes once behind before_norm(layer)");
        };
        let sigma = if sigma.rank() == 0 { &sigma.unsqueeze(0)? } else { sigma };
        if sigma.dims() != [1] && sigma.dims() != before.dims() {
            bail!("{op}: a norm for all samples [1] or for each {:?} is wanted, got {:?}", before.dims(), sigma.dims());
        }
        if sigma.dtype() != before.dtype() || !sigma.device().same_device(before.device()) {
            let of = |t: &Tensor| (t.dtype(), t.device().location());
            bail!("{op}: the norm is {:?}, the region {:?}; convert one with to_dtype", of(sigma), of(before));
        }
        Ok(Self { radius: norm_product(&[before, sigma])?, ungrown: None, ..self.clone() })
    }

    /// `layer.forward(center)`, found once.
    pub fn forward(&self, layer: &Layer) -> Result<Tensor> {
        let Some(weight) = layer.weight() else { return layer.forward(&self.center()?) };
        let key = (weight.id(), layer.index, layer.precision.get(), age());
        if let Some((_, known)) = self.outputs.borrow().as_ref().filter(|(of, _)| *of == key) {
            return Ok(known.clone());
        }
        let made = layer.forward(&self.center()?)?;
        *self.outputs.borrow_mut() = Some((key, made.clone()));
        Ok(made)
    }

    /// The box alone through an affine layer: interval bound propagation. The ball is given up; its radius becomes NaN,
    /// so that nothing that still uses it can certify.
    pub fn affine_box(&self, layer: &Layer) -> Result<Self> {
        self.expect_radius("affine")?;
        if self.rounding.is_some() {
            bail!("affine: a region that is rounded outward keeps its ball; give the layer's norm too");
        }
        let unknown = (self.radius.detach() * f64::NAN)?;
        // A ball that reaches everywhere cuts nothing.
        let everywhere = Tensor::full(f64::INFINITY, (self.dims()[0], layer.output[0]), self.radius.device())?;
        if let Some(parts) = self.at_once(layer, &everywhere.to_dtype(self.radius.dtype())?)? {
            return Ok(Self::of(Parts::Ends(parts), unknown));
        }
        let [center, lower, upper] = self.boxed(layer)?;
        Self::new(&center, &lower, &upper, unknown)
    }

    /// Center and box behind an affine layer, without the ball.
    fn boxed(&self, layer: &Layer) -> Result<[Tensor; 3]> {
        let (center, lower, upper) = (self.center()?, self.lower()?, self.upper()?);
        let batch = center.dim(0)?;
        // The two centres go through W together.
        let middle = ((&lower + &upper)? * 0.5)?;
        let both = layer.add_bias(&layer.apply(&Tensor::cat(&[&center, &middle], 0)?)?)?;
        let (center, middle) = (both.narrow(0, 0, batch)?, both.narrow(0, batch, batch)?);
        let half = layer.apply_absolute(&((&upper - &lower)? * 0.5)?)?;
        Ok([center, (&middle - &half)?, (&middle + &half)?])
    }
}
