//! What a region holds: the center and the ends of the box, in one of several forms, and the radius.
//!
//! Center, lower and upper are kept as one tensor: what is done to all three is then one operation, forward and
//! backward. On a device with kernels of our own a region is kept as what the next operation wants, and the ends of its
//! box are made when they are asked for.

use crate::bounds::outward::Outward;
use crate::compute::autograd::tape::Tracked;
use crate::compute::elementwise::clip::{larger, smaller};
use crate::compute::gpu;
use crate::compute::precision::Precision;
use crate::compute::region::around::Around;
use crate::compute::region::center_radius::CenterRadius;
use crate::compute::region::gpu::PreActivation;
use candle_core::{Result, Tensor, TensorId, bail};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Ball and box of a batch at one layer. All tensors are differentiable.
#[derive(Clone, Debug)]
pub struct Region {
    pub(super) parts: Parts,
    /// Radius of the ball, `[B]`.
    pub radius: Tensor,
    /// Of a region that is rounded outward ([`crate::bounds::outward`]): the part of the radius that is rounding, `[B]`.
    pub rounding: Option<Tensor>,
    /// Of a region whose radius is not known yet ([`Self::before_norm`]): that before the layer.
    pub(super) ungrown: Option<Tensor>,
    /// A radius that is not known: NaN `[B]`, the same tensor on the whole way.
    pub(super) unknown: Rc<OnceCell<Tensor>>,
    /// What a layer makes of the center.
    pub(super) outputs: Rc<RefCell<Option<(Made, Tensor)>>>,
}

/// Which layer, by its weight, in what numbers, and when.
pub(super) type Made = (TensorId, usize, Precision, u64);

/// Center and box, in one of several forms.
#[derive(Clone, Debug)]
pub(super) enum Parts {
    /// Center, lower, upper: `[3, B, ...]`.
    Ends(Tracked),
    /// Center, middle and half-width of the box: `[3, B, ...]`.
    CenterRadius(CenterRadius),
    /// The products of the affine layer before.
    PreActivation(PreActivation),
    /// A ball around images and its box, before any layer.
    Around(Around),
}

impl Region {
    /// From its parts, `[B, ...]` each, and the radius `[B]`.
    pub fn new(center: &Tensor, lower: &Tensor, upper: &Tensor, radius: Tensor) -> Result<Self> {
        let ends = Tracked::of(&Tensor::stack(&[center, lower, upper], 0)?);
        Ok(Self::of(Parts::Ends(ends), radius))
    }

    pub(super) fn of(parts: Parts, radius: Tensor) -> Self {
        Self { parts, radius, rounding: None, ungrown: None, unknown: Rc::default(), outputs: Rc::default() }
    }

    /// A region of a script's own: shapes are checked, that it holds what it should is the script's to know.
    pub fn of_parts(center: &Tensor, lower: &Tensor, upper: &Tensor, radius: &Tensor) -> Result<Self> {
        let (batch, rank) = (center.dims().first().copied().unwrap_or(0), center.rank());
        if rank < 2 || lower.dims() != center.dims() || upper.dims() != center.dims() || radius.dims() != [batch] {
            bail!(
                "region: center, lower and upper want one shape [B, ...] and radius [B], got {:?}, {:?}, {:?} and {:?}",
                center.dims(),
                lower.dims(),
                upper.dims(),
                radius.dims()
            );
        }
        if [lower, upper, radius].iter().any(|t| t.dtype() != center.dtype()) || !center.dtype().is_float() {
            let types = [center, lower, upper, radius].map(|t| t.dtype());
            bail!("region: center, lower, upper and radius want one type of floats, got {types:?}");
        }
        Self::new(center, lower, upper, radius.clone())
    }

    /// Center, lower and upper: `[3, B, ...]`.
    pub(super) fn all(&self) -> Result<Tracked> {
        match &self.parts {
            Parts::Ends(ends) => Ok(ends.clone()),
            Parts::CenterRadius(middles) => middles.ends(),
            Parts::PreActivation(pre_activation) => pre_activation.ends(),
            Parts::Around(around) => around.ends(),
        }
    }

    /// Clean activations, `[B, ...]`.
    pub fn center(&self) -> Result<Tensor> {
        match &self.parts {
            Parts::CenterRadius(middles) => middles.planes()?.part(0),
            Parts::Around(around) => Ok(around.x.clone()),
            Parts::Ends(_) | Parts::PreActivation(_) => self.all()?.part(0),
        }
    }

    /// Lower end of the box, `[B, ...]`.
    pub fn lower(&self) -> Result<Tensor> {
        self.all()?.part(1)
    }

    /// Upper end of the box, `[B, ...]`.
    pub fn upper(&self) -> Result<Tensor> {
        self.all()?.part(2)
    }

    /// The shape of each part, `[B, ...]`.
    pub fn dims(&self) -> &[usize] {
        match &self.parts {
            Parts::Ends(ends) => &ends.value().dims()[1..],
            Parts::CenterRadius(middles) => middles.dims(),
            Parts::PreActivation(pre_activation) => pre_activation.dims(),
            Parts::Around(around) => around.x.dims(),
        }
    }

    /// Those of some samples, by their numbers (u32), as often as each stands there.
    pub fn samples(&self, places: &Tensor) -> Result<Self> {
        self.expect_radius("samples")?;
        let own = |t: &Tensor| t.contiguous()?.index_select(places, 0);
        let rounding = self.rounding.as_ref().map(own).transpose()?;
        let region =
            Self::new(&own(&self.center()?)?, &own(&self.lower()?)?, &own(&self.upper()?)?, own(&self.radius)?)?;
        Ok(Self { rounding, ..region })
    }

    /// With another box around the same center, whose values it holds as before.
    pub fn with_box(&self, lower: &Tensor, upper: &Tensor) -> Result<Self> {
        if lower.dims() != self.dims() || upper.dims() != self.dims() {
            bail!(
                "with_box: a region {:?} wants ends of its shape, got {:?} and {:?}",
                self.dims(),
                lower.dims(),
                upper.dims()
            );
        }
        let own = Self::new(&self.center()?, lower, upper, self.radius.clone())?;
        Ok(Self { rounding: self.rounding.clone(), ungrown: self.ungrown.clone(), ..own })
    }

    pub(in crate::bounds) fn of_outward(found: Outward) -> Result<Self> {
        let region = Self::new(&found.center, &found.lower, &found.upper, found.radius)?;
        Ok(Self { rounding: Some(found.rounding), ..region })
    }

    /// Does it lack the norm of the layer before it?
    pub(in crate::bounds) fn expect_radius(&self, op: &str) -> Result<()> {
        match self.ungrown {
            None => Ok(()),
            Some(_) => bail!(
                "{op}: the norm of the layer that this region has gone through is wanted first; call with_norm with it"
            ),
        }
    }

    /// How far the box reaches below and above the center, `[2, B, ...]`: at most 0, and at least 0.
    pub fn gaps(&self) -> Result<Tensor> {
        match &self.parts {
            Parts::CenterRadius(middles) => return middles.gaps(),
            Parts::Around(around) if gpu::has_kernel(&around.x) && around.is_closed(&around.radius) => {
                return CenterRadius::around(&around.x, &around.radius, false)?.gaps();
            }
            Parts::Ends(_) | Parts::PreActivation(_) | Parts::Around(_) => {}
        }
        let center = self.center()?;
        let zero = center.zeros_like()?.detach();
        let low = smaller(&(self.lower()? - &center)?, &zero)?;
        Tensor::stack(&[low, larger(&(self.upper()? - &center)?, &zero)?], 0)
    }

    /// How large a value can be, in the box and at the center.
    pub(super) fn sizes(&self) -> Result<Tensor> {
        larger(&larger(&self.lower()?.abs()?, &self.upper()?.abs()?)?, &self.center()?.abs()?)
    }

    /// Mean width of the box of each sample, `[B]`, no gradient.
    pub fn mean_width(&self) -> Result<Tensor> {
        let (lower, upper) = self.ends()?;
        (upper - lower)?.flatten_from(1)?.mean(1)
    }

    /// Lower and upper end of the box, without gradients.
    pub fn ends(&self) -> Result<(Tensor, Tensor)> {
        let all = self.all()?;
        Ok((all.value().get(1)?, all.value().get(2)?))
    }
}
