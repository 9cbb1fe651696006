//! What is known of the activations at one layer when the input moves in an l2 ball: a ball and a box.
//!
//! ```text
//! ball   ||z - center|| <= radius          center: the clean activations
//! box    lower <= z <= upper               element by element
//!
//! affine, sigma >= ||W||:   center' = W center + b       radius' = sigma radius
//!                           c = W (lower + upper)/2 + b  h = |W| (upper - lower)/2
//!                           lower' = max(c - h, center' - radius ||w_i||)   upper' = min(c + h, center' + radius ||w_i||)
//! affine, box alone:        lower' = c - h   upper' = c + h   radius' = NaN: there is no ball any more
//! of the ball around images and its box:  c = center', h = radius (|W| 1)
//! activation f:             center' = f(center)  radius' = L_f radius  lower', upper' = the box of f over [lower, upper]
//! ```
//!
//! w_i is the row of output i; L_f is 1 for most activations, and where f is monotone the box is f(lower), f(upper). The center is the very tensor of the
//! clean activations: one forward pass makes both. A radius of NaN lets nothing certify that still uses the ball. A box
//! behind an activation is not cut with f(center -+ radius), which changes nothing where the radius is a true bound.
//! sigma enters radius' alone, so a region can go through a layer before its norm is known (`before_norm`, `with_norm`).
//! Center, lower and upper are kept as one tensor: what is done to all three is then one operation, forward and
//! backward. On a device with kernels of our own a region is kept as what the next operation wants, and the ends of its
//! box are made when they are asked for.

use super::outward::{self, Outward};
use crate::compute::autograd::reshaped;
use crate::compute::autograd::tape::Tracked;
use crate::compute::elementwise::clip::{clip_tracked, larger, smaller};
use crate::compute::gpu;
use crate::compute::layout;
use crate::compute::norms::channels::add_channels;
use crate::compute::norms::norm_product;
use crate::compute::norms::samples::{check_images, per_sample};
use crate::compute::precision::Precision;
use crate::compute::region;
use crate::compute::region::around::Around;
use crate::compute::region::center_radius::CenterRadius;
use crate::compute::region::gpu::PreActivation;
use crate::compute::region::weights::Map;
use crate::compute::variables::age;
use crate::nn::Layer;
use crate::nn::Role;
use crate::nn::layers::{Activation, Dense, Facts, Fused, image};
use candle_core::{Result, Tensor, TensorId, bail};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// Ball and box of a batch at one layer. All tensors are differentiable.
#[derive(Clone, Debug)]
pub struct Region {
    parts: Parts,
    /// Radius of the ball, `[B]`.
    pub radius: Tensor,
    /// Of a region that is rounded outward ([`super::outward`]): the part of the radius that is rounding, `[B]`.
    pub rounding: Option<Tensor>,
    /// Of a region whose radius is not known yet ([`Self::before_norm`]): that before the layer.
    ungrown: Option<Tensor>,
    /// A radius that is not known: NaN `[B]`, the same tensor on the whole way.
    unknown: Rc<OnceCell<Tensor>>,
    /// What a layer makes of the center.
    outputs: Rc<RefCell<Option<(Made, Tensor)>>>,
}

/// Which layer, by its weight, in what numbers, and when.
type Made = (TensorId, usize, Precision, u64);

/// Center and box, in one of several forms.
#[derive(Clone, Debug)]
enum Parts {
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

    fn of(parts: Parts, radius: Tensor) -> Self {
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
    fn all(&self) -> Result<Tracked> {
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

    /// The l2 ball of radius `epsilon` (`[B]`) around each image of `x`, and the box x +- epsilon. With `images` the box
    /// is cut to [0, 1], which is valid only against an adversary who is held to images too.
    pub fn around(x: &Tensor, epsilon: &Tensor, images: bool) -> Result<Self> {
        if epsilon.dims() != [x.dim(0)?] {
            bail!("region: {} images want as many radii, got a tensor of shape {:?}", x.dim(0)?, epsilon.dims());
        }
        if x.dtype() == epsilon.dtype() {
            if !images && (x.device().is_cpu() || gpu::has_kernel(x)) {
                return Ok(Self::of(Parts::Around(Around::new(x, epsilon)), epsilon.clone()));
            }
            if gpu::has_kernel(x) && !x.track_op() && !epsilon.track_op() {
                check_images("ball_and_box with `images`", x)?;
                let parts = Parts::CenterRadius(CenterRadius::around(x, epsilon, images)?);
                return Ok(Self::of(parts, epsilon.clone()));
            }
        }
        let [mut lower, mut upper] = region::around::ends(x, epsilon)?;
        if images {
            check_images("ball_and_box with `images`", x)?;
            (lower, upper) = (lower.clamp(0f64, 1f64)?, upper.clamp(0f64, 1f64)?);
        }
        Self::new(x, &lower, &upper, epsilon.clone())
    }

    /// The same with every rounding accounted for: images and radii in f64, on the CPU ([`super::outward`]).
    pub fn around_outward(x: &Tensor, epsilon: &Tensor, images: bool) -> Result<Self> {
        Self::of_outward(outward::around(x, epsilon, images)?)
    }

    pub(super) fn of_outward(found: Outward) -> Result<Self> {
        let region = Self::new(&found.center, &found.lower, &found.upper, found.radius)?;
        Ok(Self { rounding: Some(found.rounding), ..region })
    }

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

    /// Does it lack the norm of the layer before it?
    pub(super) fn expect_radius(&self, op: &str) -> Result<()> {
        match self.ungrown {
            None => Ok(()),
            Some(_) => bail!(
                "{op}: the norm of the layer that this region has gone through is wanted first; call with_norm with it"
            ),
        }
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

    /// The box of a ball around images behind maps by which their center comes to `center`, and which reach at most `norms` `[1, ...]` per unit
    /// of the radius.
    pub(super) fn of_ball(&self, center: &Tensor, norms: &Tensor) -> Result<Self> {
        let unknown = (self.radius.detach() * f64::NAN)?;
        if center.device().is_cpu() && !self.radius.track_op() {
            let whole = norms.broadcast_as([&[1], &center.dims()[1..]].concat())?;
            let none = Tensor::full(f64::INFINITY, (1, center.dim(1)?), center.device())?.to_dtype(center.dtype())?;
            let parts = region::around::affine(center, &self.radius, &whole, &none)?;
            return Ok(Self::of(Parts::Ends(parts), unknown));
        }
        let reach = per_sample(&self.radius, center)?.broadcast_mul(norms)?;
        Self::new(center, &center.broadcast_sub(&reach)?, &center.broadcast_add(&reach)?, unknown)
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

    /// Through a convolution or a linear layer on a device with kernels, as its products.
    fn pre_activation(&self, layer: &Layer) -> Result<Option<Parts>> {
        let (weight, bias, map, prepared) = match layer.dense() {
            Some(Dense::Convolution { weight, bias, window, prepared }) => {
                let layout = layout::wanted(weight.dtype(), weight.device(), &layer.precision);
                (weight, bias, Map::Conv(window, layout), prepared)
            }
            Some(Dense::Matrix { weight, bias, prepared }) => {
                (weight, bias, Map::Linear(layer.precision.get()), prepared)
            }
            Some(Dense::EachChannel { .. } | Dense::Diagonal { .. }) | None => return Ok(None),
        };
        let here = gpu::has_kernel(&weight) && self.radius.dtype() == weight.dtype() && self.dims()[0] > 0;
        if !here || self.dims()[1..] != layer.input {
            return Ok(None);
        }
        let parts = prepared.parts(&weight, map.layout())?;
        let middles = match &self.parts {
            Parts::Around(around) if around.is_closed(&self.radius) => {
                let own = (&parts, bias.as_ref());
                return PreActivation::around(&around.x, own, &self.radius, map, &layer.output)
                    .map(|made| Some(Parts::PreActivation(made)));
            }
            Parts::CenterRadius(middles) => middles.clone(),
            Parts::Ends(_) | Parts::PreActivation(_) | Parts::Around(_) => CenterRadius::of_ends(&self.all()?)?,
        };
        let made = PreActivation::new(&middles, (&parts, bias.as_ref()), &self.radius, map, &layer.output)?;
        Ok(Some(Parts::PreActivation(made)))
    }

    /// A ball around images through any layer on the CPU, in closed form.
    fn closed(&self, layer: &Layer) -> Result<Option<Tracked>> {
        let Parts::Around(around) = &self.parts else { return Ok(None) };
        let own = self.dims()[1..] == layer.input && around.is_closed(&self.radius);
        // A map of each sample's own has no |W| 1 for all.
        if !own
            || layer.each_sample()?.is_some()
            || !around.x.device().is_cpu()
            || layer.numbers().is_none_or(|(dtype, _)| dtype != around.x.dtype())
        {
            return Ok(None);
        }
        let ones = Tensor::ones([&[1], &self.dims()[1..]].concat(), around.x.dtype(), around.x.device())?;
        // What a layer does not have it refuses before it computes anything.
        let (sums, norms) = (layer.apply_absolute(&ones)?, layer.row_norms()?);
        region::around::affine(&layer.forward(&around.x)?, &around.radius, &sums, &norms).map(Some)
    }

    /// Through a convolution or a linear layer in one operation on the CPU, where there is one for it.
    fn at_once(&self, layer: &Layer, reach: &Tensor) -> Result<Option<Tracked>> {
        if self.dims()[1..] != layer.input || reach.dim(0)? != self.dims()[0] {
            return Ok(None);
        }
        let parts = self.all()?;
        let offsets = |bias: &Option<Tensor>| {
            let bias = match bias {
                Some(bias) => bias.unsqueeze(0)?,
                None => reach.narrow(0, 0, 1)?.zeros_like()?.detach(),
            };
            Tensor::cat(&[reach, &bias], 0)
        };
        match layer.dense() {
            #[cfg(target_arch = "x86_64")]
            Some(Dense::Convolution { weight, bias, window, .. })
                if region::conv::covers(parts.value(), &weight, window)? =>
            {
                region::conv::affine(&parts, &weight, &offsets(&bias)?, window).map(Some)
            }
            Some(Dense::Matrix { weight, bias, .. }) if region::linear::covers(parts.value(), &weight) => {
                region::linear::affine(&parts, &weight, &offsets(&bias)?).map(Some)
            }
            // By the layer's own products.
            Some(
                Dense::Convolution { .. } | Dense::Matrix { .. } | Dense::EachChannel { .. } | Dense::Diagonal { .. },
            )
            | None => Ok(None),
        }
    }

    /// Which outputs of an activation vary, where the kernel that finds it also makes what lies behind it.
    pub(super) fn varying(&self, activation: &Layer) -> Result<Option<Tensor>> {
        match (&self.parts, activation.fused()) {
            (Parts::PreActivation(pre_activation), Some(Fused::Clip { threshold }))
                if threshold.as_ref().is_none_or(|t| self.fits(t)) =>
            {
                Ok(Some(pre_activation.activated(threshold.as_ref())?.1))
            }
            (Parts::CenterRadius(middles), Some(Fused::Sort { thresholds: Some((max, _)) })) => {
                Ok(middles.sorted_mask(&max))
            }
            _ => Ok(None),
        }
    }

    /// One threshold for each neuron?
    fn fits(&self, threshold: &Tensor) -> bool {
        let dims = threshold.dims();
        dims.first() == Some(&1) && dims[1..] == self.dims()[1..]
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

    /// Through an activation or flatten. With `cut` the box is also cut with `f(center -+ radius)`, as published code
    /// does: it changes nothing when `radius` is a true bound, and is there for comparison with that code.
    pub fn activation(&self, layer: &Layer, cut: bool) -> Result<Self> {
        if self.dims()[1..] != layer.input {
            bail!(
                "activation: {} wants a region over a batch of {:?}, got one of shape {:?}",
                layer.title(),
                layer.input,
                self.dims()
            );
        }
        // What only rearranges numbers asks nothing of the ball.
        if cut || matches!(layer.role, Role::Activation(_)) {
            self.expect_radius("activation")?;
        }
        let shape = [&[3, self.dims()[0]], layer.output.as_slice()].concat();
        let parts = match &layer.role {
            Role::Reshape(r) => match &self.parts {
                Parts::CenterRadius(middles) if r.keeps_order() => Parts::CenterRadius(middles.reshape(&shape)?),
                Parts::Around(around) if r.keeps_order() => {
                    Parts::Around(Around::new(&around.x.reshape(&shape[1..])?, &around.radius))
                }
                _ if r.keeps_order() => Parts::Ends(self.all()?.reshape(shape)?),
                _ => Parts::Ends(self.each_end(&shape, |all| r.forward(all))?),
            },
            Role::Activation(f) => match (f.facts().fused, &self.parts) {
                (Some(Fused::Clip { threshold }), Parts::PreActivation(pre_activation))
                    if threshold.as_ref().is_none_or(|t| self.fits(t)) =>
                {
                    Parts::CenterRadius(pre_activation.activated(threshold.as_ref())?.0)
                }
                (Some(Fused::Sort { thresholds }), Parts::PreActivation(pre_activation)) => {
                    let thresholds = thresholds.as_ref().map(|(max, min)| (max, min));
                    Parts::CenterRadius(pre_activation.sorted(thresholds)?)
                }
                (Some(Fused::Clip { threshold: Some(threshold) }), _)
                    if self.radius.device().is_cpu() || gpu::has_kernel(&threshold) =>
                {
                    Parts::Ends(clip_tracked(&self.all()?, &threshold)?)
                }
                // Each end of the box goes through by itself.
                _ if f.boxes().is_none() => Parts::Ends(self.each_end(&shape, |all| f.forward(all))?),
                _ => {
                    let [lower, upper] = image(&**f, &self.lower()?, &self.upper()?)?;
                    Parts::Ends(Tracked::of(&Tensor::stack(&[&f.forward(&self.center()?)?, &lower, &upper], 0)?))
                }
            },
            Role::Affine(_) => bail!("activation: {} is affine; take region.affine", layer.title()),
            Role::Branches(_) => bail!("activation: {} has branches; take layer.meet", layer.title()),
        };
        let next = Self { parts, outputs: Rc::default(), ..self.clone() };
        let next = if cut { self.cut(next, layer)? } else { next };
        match &layer.role {
            Role::Activation(f) => next.behind(self, &**f, layer),
            Role::Reshape(_) | Role::Affine(_) | Role::Branches(_) => Ok(next),
        }
    }

    /// Center and ends, each as samples of one batch, through a step: `shape`, `[3, B, ...]`.
    fn each_end(&self, shape: &[usize], step: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tracked> {
        let ends = self.all()?.tensor()?;
        let all = reshaped(&ends, &[&[ends.dim(0)? * ends.dim(1)?], &ends.dims()[2..]].concat())?;
        Ok(Tracked::of(&reshaped(&step(&all)?, shape)?))
    }

    /// `next`, which lies behind the layer, with its box cut with that of `center -+ radius`.
    fn cut(&self, next: Self, layer: &Layer) -> Result<Self> {
        let center = self.center()?;
        let reach = match &self.rounding {
            Some(_) => outward::reach(&center, &self.radius)?,
            None => per_sample(&self.radius, &center)?,
        };
        let (lower, upper) = (center.broadcast_sub(&reach)?, center.broadcast_add(&reach)?);
        let [lower, upper] = match &layer.role {
            Role::Activation(f) => image(&**f, &lower, &upper)?,
            Role::Reshape(r) => [r.forward(&lower)?, r.forward(&upper)?],
            Role::Affine(_) => bail!("activation: {} is affine; take region.affine", layer.title()),
            Role::Branches(_) => bail!("activation: {} has branches; take layer.meet", layer.title()),
        };
        let (lower, upper) = (larger(&next.lower()?, &lower)?, smaller(&next.upper()?, &upper)?);
        let cut = Self::new(&next.center()?, &lower, &upper, self.radius.clone())?;
        Ok(Self { rounding: self.rounding.clone(), ..cut })
    }

    /// The ball behind an activation, whose center and box are these already: its Lipschitz constant, and in an outward region what it
    /// rounds.
    fn behind(self, before: &Self, f: &dyn Activation, layer: &Layer) -> Result<Self> {
        let Facts { lipschitz, roundings, cancels, .. } = f.facts();
        let Some(rounding) = &self.rounding else {
            // Most are 1-Lipschitz, and no operation is spent on them.
            let radius = if lipschitz == 1.0 { self.radius.clone() } else { (&self.radius * lipschitz)? };
            return Ok(Self { radius, ..self });
        };
        match roundings {
            Some(0) if lipschitz == 1.0 => Ok(self),
            Some(roundings) => {
                let (center, lower, upper) = (self.center()?, self.lower()?, self.upper()?);
                let here = Outward { center, lower, upper, radius: self.radius.clone(), rounding: rounding.clone() };
                let sizes = if cancels { Some(f.spread(&before.sizes()?)?) } else { None };
                Self::of_outward(outward::activation(here, lipschitz, roundings, sizes)?)
            }
            None => bail!(
                "activation: {} does not say how its values are rounded, so no outward region goes through it; certify with kind \
                 \"estimate\", or take another activation",
                layer.title()
            ),
        }
    }

    /// How large a value can be, in the box and at the center.
    fn sizes(&self) -> Result<Tensor> {
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
