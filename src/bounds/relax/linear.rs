//! A linear function below some quantities, in terms of the values at one place of a network, and its steps back through layers
//!
//! The step through an activation waits for the affine layer before it, whose `<a', b>` is found in the same pass over the coefficients.

use super::rounding;
use crate::bounds::margin::{Rule, maximize};
use crate::bounds::region::Region as Known;
use crate::compute::autograd::{differentiable, same_numbers};
use crate::compute::relaxed::{Given, Over, concretised, through};
use crate::nn::layers::{Relaxation, exchanged};
use crate::nn::{Layer, Role};
use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

/// Of a region, what a linear function is taken the least value over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    Ball,
    Box,
    /// Where both hold.
    Both,
}

/// `q >= <a, h> + k` for S quantities of each of B samples. Cloning shares the tensors.
#[derive(Clone, Debug)]
pub struct LinearBound {
    /// `[B, S, ...]`.
    a: Tensor,
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
        Ok(Self { a: a.clone(), k, waiting: None, outward: true })
    }

    /// The shape of the coefficients, `[B, S, ...]`.
    pub fn dims(&self) -> &[usize] {
        self.a.dims()
    }

    /// Coefficients and constants.
    pub fn parts(&self) -> Result<(Tensor, Tensor)> {
        self.passed(None)
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
        if self.a.dims()[2..] != layer.output {
            bail!(
                "before: {} gives {:?}, the linear bound is of values of shape {:?}",
                layer.title(),
                layer.output,
                &self.a.dims()[2..]
            );
        }
        Ok(())
    }

    /// In terms of what is before a layer that is affine or rearranges. `region` lies before the layer; of one that is rounded outward the
    /// constants pay for all roundings.
    pub fn before(&self, layer: &Layer, region: Option<&Known>) -> Result<Self> {
        self.expect(layer)?;
        let outward = region.filter(|region| region.rounding.is_some());
        let back = |a: &Tensor, step: &dyn Fn(&Tensor) -> Result<Tensor>| -> Result<Tensor> {
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
                let (a, k) = match outward {
                    None => self.passed(Some(&bias))?,
                    Some(region) => rounding::affine(self.parts()?, layer, region, &bias)?,
                };
                let a = back(&a, &|a| layer.adjoint(a))?;
                Ok(Self { a, k, waiting: None, outward: self.outward && outward.is_some() })
            }
            Role::Reshape(r) => {
                let (a, k) = self.parts()?;
                Ok(Self { a: back(&a, &|a| r.inverse(a))?, k, waiting: None, outward: self.outward })
            }
            Role::Activation(_) => bail!("before: {} wants its lines over the box before it", layer.title()),
            Role::Branches(_) => bail!("before: {} has branches; walk back through each (apart, plus)", layer.title()),
        }
    }

    /// In terms of what is before an activation, by its lines over the box of `region`, which lies before it.
    pub fn before_activation(&self, layer: &Layer, region: &Known, lines: &Relaxation) -> Result<Self> {
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
        let (a, k) = self.parts()?;
        let waiting = Some(lines.clone());
        match region.rounding {
            None => Ok(Self { a, k, waiting, outward: false }),
            Some(_) => {
                let k = rounding::activation((&a, &k), region, lines)?;
                let (a, sum) = Self { a, k: k.zeros_like()?, waiting, outward: true }.parts()?;
                Ok(Self { a, k: rounding::sum(&k, &sum)?, waiting: None, outward: self.outward })
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
            Ok(Self { a, k, waiting: None, outward: self.outward })
        });
        each.collect()
    }

    /// Two functions of the same values added up, as those of two branches on one input are.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        let ((a, k), (b, l)) = (self.parts()?, other.parts()?);
        if a.dims() != b.dims() {
            bail!("plus: linear bounds of shapes {:?} and {:?}", a.dims(), b.dims());
        }
        // A sum of two numbers is rounded once; what that is worth is paid where the next step is.
        let outward = self.outward && other.outward;
        let k = if outward { rounding::sum(&k, &l)? } else { (&k + &l)? };
        Ok(Self { a: (&a + &b)?, k, waiting: None, outward })
    }

    /// With these numbers `[B, ...]` taken from the coefficients of all rows.
    pub fn minus(&self, t: &Tensor) -> Result<Self> {
        let (a, k) = self.parts()?;
        let t = t.unsqueeze(1)?;
        if t.rank() != a.rank() || t.dim(0)? != a.dim(0)? || t.dims()[2..] != a.dims()[2..] {
            bail!("minus: coefficients {:?} want [B, ...] of their shape, got {:?}", a.dims(), t.squeeze(1)?.dims());
        }
        Ok(Self { a: a.broadcast_sub(&t)?, k, waiting: None, outward: false })
    }

    /// The least value over a region of the values that it is a function of: `[B, S]`.
    pub fn concretise(&self, region: &Known, over: Region) -> Result<Tensor> {
        let (a, k) = self.parts()?;
        if region.dims()[0] != a.dim(0)? || region.dims()[1..] != a.dims()[2..] {
            bail!(
                "concretise: the linear bound is of values of shape {:?}, the region of {:?}",
                [&[a.dim(0)?], &a.dims()[2..]].concat(),
                region.dims()
            );
        }
        if over != Region::Box {
            region.expect_radius("concretise")?;
        }
        if region.rounding.is_some() {
            if !self.outward {
                bail!(
                    "concretise: the region is rounded outward, but a step before was not; give every step its region, outward all"
                );
            }
            return rounding::concretised(&a, &k, region, over);
        }
        let (lower, upper) = (region.lower()?, region.upper()?);
        let least = match over {
            Region::Ball => concretised(&a, Over::Ball { x: &region.center()?, radius: &region.radius })?,
            Region::Box => concretised(&a, Over::Box { lower: &lower, upper: &upper })?,
            Region::Both => both(&a, region)?,
        };
        least + k
    }
}

/// Over ball and box, exactly: one problem for each row, in f64 on the host. Its gradient is the point where the value is taken.
fn both(a: &Tensor, region: &Known) -> Result<Tensor> {
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
