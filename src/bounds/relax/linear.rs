//! A linear function below some quantities, in terms of the values at one place of a network, and its steps back through layers
//!
//! The step through an activation waits for the affine layer before it, whose `<a', b>` is found in the same pass over the coefficients.

use super::over::Over;
use super::part::Part;
use super::rounding;
use crate::bounds::margin::{Rule, maximize};
use crate::bounds::region::Region;
use crate::compute::autograd::{differentiable, same_numbers};
use crate::compute::relaxed::{Given, Over as Of, concretised, through};
use crate::nn::layers::{Dense, Relaxation, exchanged};
use crate::nn::{Layer, Role};
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

/// `q >= <a, h> + k` for S quantities of each of B samples. Cloning shares the tensors.
#[derive(Clone, Debug)]
pub struct LinearBound {
    /// `[B, S, ...]`, of a part of the image where there is one.
    a: Tensor,
    part: Option<Part>,
    /// `[B, S]`.
    k: Tensor,
    /// Lines that the coefficients are still to go through.
    waiting: Option<Relaxation>,
    /// Has every step so far paid for its roundings?
    outward: bool,
}

impl LinearBound {
    /// `<a, h>`, coefficients `[B, S, ...]`.
    pub fn new(a: &Tensor, k: Option<&Tensor>) -> Result<Self> {
        if a.rank() < 3 || !a.dtype().is_float() {
            bail!(
                "linear_bound: coefficients want a shape [B, S, ...] of floats, got {:?} of {:?}",
                a.dims(),
                a.dtype()
            );
        }
        let k = match k {
            None => Tensor::zeros(&a.dims()[..2], a.dtype(), a.device())?,
            Some(k) if k.dims() == &a.dims()[..2] && k.dtype() == a.dtype() => k.clone(),
            Some(k) => bail!(
                "linear_bound: coefficients {:?} want constants {:?}, got {:?} of {:?}",
                a.dims(),
                &a.dims()[..2],
                k.dims(),
                k.dtype()
            ),
        };
        Ok(Self { a: a.clone(), part: None, k, waiting: None, outward: true })
    }

    /// Coefficients `[B, S, C, h, w]` of a part of images.
    pub fn of_part(a: &Tensor, part: Part) -> Result<Self> {
        Ok(Self { part: Some(part), ..Self::new(a, None)? })
    }

    /// The same of whole images.
    fn whole(&self) -> Result<Self> {
        let (a, k) = self.passed(None)?;
        let a = self.part.map_or(Ok(a.clone()), |part| part.widened(&a))?;
        Ok(Self { a, part: None, k, waiting: None, outward: self.outward })
    }

    /// The shape of the values that it is a function of.
    fn shape(&self) -> Vec<usize> {
        match self.part {
            None => self.a.dims()[2..].to_vec(),
            Some(part) => vec![self.a.dims()[2], part.image[0], part.image[1]],
        }
    }

    /// That of `t` `[..., H, W]` which the coefficients are of.
    fn own(&self, t: &Tensor) -> Result<Tensor> {
        self.part.map_or(Ok(t.clone()), |part| part.of(t))
    }

    /// The shape of the coefficients, `[B, S, ...]`.
    pub fn dims(&self) -> &[usize] {
        self.a.dims()
    }

    /// Coefficients and constants.
    pub fn parts(&self) -> Result<(Tensor, Tensor)> {
        let whole = self.whole()?;
        Ok((whole.a, whole.k))
    }

    /// The same behind the lines that wait, with a bias `[1, ...]` that is in front of them.
    fn passed(&self, bias: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let Some(lines) = &self.waiting else {
            let Some(bias) = bias else { return Ok((self.a.clone(), self.k.clone())) };
            let (batch, rows) = (self.a.dim(0)?, self.a.dim(1)?);
            let flat = self.a.reshape((batch * rows, ()))?;
            let products = flat.matmul(&bias.reshape(((), 1))?)?.reshape((batch, rows))?;
            return Ok((self.a.clone(), (&self.k + products)?));
        };
        let given = Given {
            lower_slope: lines.lower_slope.clone(),
            upper_slope: lines.upper_slope.clone(),
            lower_offset: lines.lower_offset.clone(),
            upper_offset: lines.upper_offset.clone(),
            bias: bias.cloned(),
        };
        let (mut a, mut constants) = through(&self.a, &given)?;
        if let Some([low, high]) = &lines.partners {
            // What an output takes of its pair's other input.
            let none = low.zeros_like()?.detach();
            let given = Given {
                lower_slope: low.clone(),
                upper_slope: high.clone(),
                lower_offset: none.clone(),
                upper_offset: none,
                bias: bias.map(|bias| exchanged(bias, 1)).transpose()?,
            };
            let (other, more) = through(&self.a, &given)?;
            a = (a + exchanged(&other, 2)?)?;
            constants = (constants + more)?;
        }
        Ok((a, (&self.k + constants)?))
    }

    fn expect(&self, layer: &Layer) -> Result<()> {
        if self.shape() != layer.output {
            bail!(
                "before: {} gives {:?}, the linear bound is of values of shape {:?}",
                layer.title(),
                layer.output,
                self.shape()
            );
        }
        Ok(())
    }

    /// In terms of what is before a layer that is affine or rearranges. `region` lies before the layer; of one that is rounded outward the
    /// constants pay for all roundings.
    pub fn before(&self, layer: &Layer, region: Option<&Region>) -> Result<Self> {
        self.expect(layer)?;
        let outward = region.filter(|region| region.rounding.is_some());
        let back = |a: &Tensor, step: &mut dyn FnMut(&Tensor) -> Result<Tensor>| -> Result<Tensor> {
            let (batch, rows) = (a.dim(0)?, a.dim(1)?);
            let folded = same_numbers(a, a.reshape([&[batch * rows], &a.dims()[2..]].concat())?);
            let behind = step(&folded)?;
            Ok(same_numbers(&behind, behind.reshape([&[batch, rows], &behind.dims()[1..]].concat())?))
        };
        match &layer.role {
            Role::Affine(map) => {
                if map.each_sample()?.is_some() {
                    bail!(
                        "before: {} is another map for each sample; walk back through its own branches",
                        layer.title()
                    );
                }
                let (dtype, device) = map.numbers();
                if dtype != self.a.dtype() || !device.same_device(self.a.device()) {
                    bail!(
                        "before: {} is in {dtype:?} on {}, the linear bound in {:?} on {}",
                        layer.title(),
                        crate::compute::device::name(&device),
                        self.a.dtype(),
                        crate::compute::device::name(self.a.device())
                    );
                }
                let bias = layer.add_bias(&Tensor::zeros([&[1], layer.output.as_slice()].concat(), dtype, &device)?)?;
                let windowed = match (self.part, layer.dense()) {
                    (Some(part), Some(Dense::Convolution { weight, window, .. })) => Some((part, weight, window)),
                    (Some(_), _) => return self.whole()?.before(layer, region),
                    (None, _) => None,
                };
                let bias = self.own(&bias)?;
                let (a, k) = match outward {
                    None => self.passed(Some(&bias))?,
                    Some(region) => rounding::affine(self.passed(None)?, layer, region, &bias, self.part.as_ref())?,
                };
                let outward = self.outward && outward.is_some();
                let Some((part, weight, window)) = windowed else {
                    let a = back(&a, &mut |a| layer.adjoint(a))?;
                    return Ok(Self { a, part: None, k, waiting: None, outward });
                };
                let mut before = part;
                let a = back(&a, &mut |a| {
                    let (own, a) = part.adjoint(a, &weight, window, [layer.input[1], layer.input[2]])?;
                    before = own;
                    Ok(a)
                })?;
                Ok(Self { a, part: Some(before), k, waiting: None, outward })
            }
            Role::Reshape(r) => {
                let (a, k) = self.parts()?;
                Ok(Self { a: back(&a, &mut |a| r.inverse(a))?, part: None, k, waiting: None, outward: self.outward })
            }
            Role::Activation(_) => bail!("before: {} wants its lines over the box before it", layer.title()),
            Role::Branches(_) => bail!("before: {} has branches; walk back through each (apart, plus)", layer.title()),
        }
    }

    /// In terms of what is before an activation, by its lines over the box of `region`, which lies before it.
    pub fn before_activation(&self, layer: &Layer, region: &Region, lines: &Relaxation) -> Result<Self> {
        self.expect(layer)?;
        layer.activation("before")?;
        let want = [&[self.a.dim(0)?], layer.output.as_slice()].concat();
        if lines.lower_slope.dims() != want || layer.input != layer.output {
            bail!(
                "before: {} wants lines of shape {want:?}, as the linear bound has it, got {:?}",
                layer.title(),
                lines.lower_slope.dims()
            );
        }
        let (a, k) = self.passed(None)?;
        let waiting = match self.part {
            None => Some(lines.clone()),
            Some(part) => Some(lines.map(|t| part.of(t))?),
        };
        let part = self.part;
        match region.rounding {
            None => Ok(Self { a, part, k, waiting, outward: false }),
            Some(_) => {
                let k = rounding::activation((&a, &k), region, lines, part.as_ref())?;
                let (a, sum) = Self { a, part, k: k.zeros_like()?, waiting, outward: true }.passed(None)?;
                Ok(Self { a, part, k: rounding::sum(&k, &sum)?, waiting: None, outward: self.outward })
            }
        }
    }

    /// What a block's outputs ask of each of its branches: all of them of a sum, of branches side by side their channels. The constants stay
    /// with the first.
    pub fn apart(&self, block: &Layer) -> Result<Vec<Self>> {
        self.expect(block)?;
        let (a, k) = self.parts()?;
        let (batch, rows) = (a.dim(0)?, a.dim(1)?);
        let folded = a.reshape([&[batch * rows], &a.dims()[2..]].concat())?;
        let none = k.zeros_like()?.detach();
        let each = block.apart(&folded)?.into_iter().enumerate().map(|(i, part)| {
            let a = part.reshape([&[batch, rows], &part.dims()[1..]].concat())?;
            let k = if i == 0 { k.clone() } else { none.clone() };
            Ok(Self { a, part: None, k, waiting: None, outward: self.outward })
        });
        each.collect()
    }

    /// Two functions of the same values added up, as those of two branches on one input are.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        let ((a, k), (b, l)) = (self.parts()?, other.parts()?);
        if a.dims() != b.dims() {
            bail!("plus: linear bounds of shapes {:?} and {:?}", a.dims(), b.dims());
        }
        // A sum of two numbers is rounded once; the next step pays for 60 such, by the 64 in its slack.
        let outward = self.outward && other.outward;
        let k = if outward { rounding::sum(&k, &l)? } else { (&k + &l)? };
        Ok(Self { a: (&a + &b)?, part: None, k, waiting: None, outward })
    }

    /// With multipliers `[B, ...]` of at least 0 for the ends of the box of `region`, which holds the values that it is a function of:
    /// `q >= <a, z> + k >= <a - least + most, z> + k + <least, lower> - <most, upper>`, for all rows. Where a split has cut the box, that is
    /// the beta of beta-CROWN.
    pub fn held(&self, region: &Region, least: &Tensor, most: &Tensor) -> Result<Self> {
        let (a, k) = self.parts()?;
        let want = region.dims();
        if [least, most].iter().any(|t| t.dims() != want) || a.dim(0)? != want[0] || a.dims()[2..] != want[1..] {
            bail!(
                "held: coefficients {:?} want a region and multipliers of {want:?}, got {:?} and {:?}",
                a.dims(),
                least.dims(),
                most.dims()
            );
        }
        let (lower, upper) = (region.lower()?, region.upper()?);
        let moved = a.broadcast_sub(&(least - most)?.unsqueeze(1)?)?;
        let sums = ((least * &lower)? - (most * &upper)?)?.flatten_from(1)?.sum_keepdim(1)?.broadcast_as(k.shape())?;
        match region.rounding {
            None => Ok(Self { a: moved, part: None, k: (k + sums)?, waiting: None, outward: false }),
            Some(_) => {
                let k = rounding::held((&a, &k), &sums, [least, most], region)?;
                Ok(Self { a: moved, part: None, k, waiting: None, outward: self.outward })
            }
        }
    }

    /// The least value over a region of the values that it is a function of: `[B, S]`.
    pub fn concretise(&self, region: &Region, over: Over) -> Result<Tensor> {
        let (a, k) = self.passed(None)?;
        if region.dims()[0] != a.dim(0)? || region.dims()[1..] != self.shape() {
            bail!(
                "concretise: the linear bound is of values of shape {:?}, the region of {:?}",
                [&[a.dim(0)?], self.shape().as_slice()].concat(),
                region.dims()
            );
        }
        if over != Over::Box {
            region.expect_radius("concretise")?;
        }
        if region.rounding.is_some() {
            if !self.outward {
                bail!(
                    "concretise: the region is rounded outward, but a step before was not; give every step its region, outward all"
                );
            }
            return rounding::concretised(&a, &k, region, over, self.part.as_ref());
        }
        if over == Over::Both && self.part.is_some() {
            return self.whole()?.concretise(region, over);
        }
        let (lower, upper) = (self.own(&region.lower()?)?, self.own(&region.upper()?)?);
        let least = match over {
            Over::Ball => concretised(&a, Of::Ball { x: &self.own(&region.center()?)?, radius: &region.radius })?,
            Over::Box => concretised(&a, Of::Box { lower: &lower, upper: &upper })?,
            Over::Both => both(&a, region)?,
        };
        least + k
    }
}

/// Over ball and box, exactly: one problem for each row, in f64 on the host. Its gradient is the point where the value is taken.
fn both(a: &Tensor, region: &Region) -> Result<Tensor> {
    let (center, radius) = (region.center()?, &region.radius);
    let (lower, upper) = (region.lower()?, region.upper()?);
    if [&center, radius, &lower, &upper].iter().any(|t| t.track_op()) {
        bail!("concretise over \"both\": there is no gradient to the region; take \"ball\" or \"box\", or detach it");
    }
    let (batch, rows) = (a.dim(0)?, a.dim(1)?);
    let wide = |t: &Tensor| t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (all, x, r) = (wide(a)?, wide(&center)?, wide(radius)?);
    let (low, high) = (wide(&(&lower - &center)?)?, wide(&(&upper - &center)?)?);
    let n = all.len() / (batch * rows).max(1);
    let found: Vec<(f64, Vec<f64>)> = (0..batch * rows)
        .into_par_iter()
        .map(|row| {
            let (own, of) = (&all[row * n..][..n], row / rows * n..(row / rows + 1) * n);
            let down: Vec<f64> = own.iter().map(|a| -a).collect();
            let most = maximize(Rule::Exact, &down, &low[of.clone()], &high[of.clone()], r[row / rows]);
            let point: Vec<f64> = x[of].iter().zip(&most.point).map(|(x, d)| x + d).collect();
            (own.iter().zip(&point).map(|(a, p)| a * p).sum::<f64>() + 0.0 * most.value, point)
        })
        .collect();
    let (values, points): (Vec<f64>, Vec<Vec<f64>>) = found.into_iter().unzip();
    let like = |values: Vec<f64>, shape: &[usize]| {
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(a.dtype())?.to_device(a.device())
    };
    let (value, point) = (like(values, &[batch, rows])?, like(points.concat(), a.dims())?);
    differentiable("linear bound over ball and box", value, [a; 3], move |g, _| {
        let mut shape = g.dims().to_vec();
        shape.resize(point.rank(), 1);
        Ok((Some(point.broadcast_mul(&g.reshape(shape)?)?), None, None))
    })
}
