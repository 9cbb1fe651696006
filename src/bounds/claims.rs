//! What a layer says of itself, tried on samples: a claim that a certificate would rest on and that a sample refutes is found before
//! it does harm
//!
//! ```text
//! activation   ||f(x) - f(y)|| <= L ||x - y||      f(x) in the box of [lower, upper]      what is said to be constant stays so
//! affine       <W x, y> = <x, W^T y>               W (a x + b y) = a W x + b W y          |W x| <= |W| |x|      ||W^T e_i|| <= row norm
//! rearranged   the way back
//! ```
//!
//! A trial, no proof: what passes may still be wrong elsewhere.

use crate::base::random::Generator;
use crate::compute::norms::samples::sample_norms;
use crate::nn::layers::{Activation, Affine, Side, image};
use crate::nn::{Layer, Role};
use candle_core::{DType, Device, Result, Tensor};

/// Images at once, sizes of what they hold, and repetitions.
const BATCH: usize = 8;
const SIZES: [f64; 4] = [0.01, 0.3, 1.0, 10.0];
const TURNS: usize = 4;
/// Rows of a map whose norms are looked at.
const ROWS: usize = 64;

/// How a sample refutes what the layer says, with the sample; `None` where all of them agree.
pub fn refuted(layer: &Layer, dtype: DType, device: &Device) -> Result<Option<String>> {
    let layer = layer.frozen();
    let random = Generator::new(0x0c1a_1175);
    let device = device.clone();
    let trial = Trial { layer: &layer, random, slack: if dtype == DType::F64 { 1e-9 } else { 1e-4 }, dtype, device };
    for size in SIZES {
        for _ in 0..TURNS {
            let found = match &layer.role {
                Role::Affine(map) => trial.affine(&**map, size)?,
                Role::Activation(f) => trial.activation(&**f, size)?,
                Role::Reshape(_) => trial.reshape(size)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

struct Trial<'a> {
    layer: &'a Layer,
    random: Generator,
    /// What is left to rounding, relatively.
    slack: f64,
    dtype: DType,
    device: Device,
}

impl Trial<'_> {
    fn draw(&self, shape: &[usize], size: f64) -> Result<Tensor> {
        self.random.normal(0.0, size, [&[BATCH], shape].concat(), self.dtype, &self.device)
    }

    fn activation(&self, f: &dyn Activation, size: f64) -> Result<Option<String>> {
        let (x, half) = (self.draw(&self.layer.input, size)?, self.draw(&self.layer.input, size)?.abs()?);
        let corner = self.draw(&self.layer.input, 1.0)?.clamp(-1.0, 1.0)?;
        let y = (&x + (&half * corner)?)?;
        let (at_x, at_y) = (f.forward(&x)?, f.forward(&y)?);
        let (moved, way) = (norms(&(&at_x - &at_y)?)?, norms(&(&x - &y)?)?);
        for b in 0..BATCH {
            if !(moved[b] <= f.facts().lipschitz * way[b] * (1.0 + self.slack) + f64::MIN_POSITIVE) {
                return Ok(Some(format!(
                    "its Lipschitz constant is more than the {:?} that it says: x = {} and y = {} lie {:.6} apart, their values {:.6}",
                    f.facts().lipschitz,
                    shown(&x, b)?,
                    shown(&y, b)?,
                    way[b],
                    moved[b]
                )));
            }
        }
        let (lower, upper) = ((&x - &half)?, (&x + &half)?);
        let [low, high] = image(f, &lower, &upper)?;
        let (low, high, values) = (rows(&low)?, rows(&high)?, [rows(&at_x)?, rows(&at_y)?]);
        let mask = match f.clipping() {
            Some(clipping) if clipping.side() == Side::Before => Some(rows(&clipping.varying(&lower, &upper)?)?),
            Some(_) | None => None,
        };
        for b in 0..BATCH {
            for i in 0..low[b].len() {
                let box_of = || Ok::<_, candle_core::Error>((shown(&lower, b)?, shown(&upper, b)?));
                for (point, value) in [&x, &y].into_iter().zip(&values) {
                    let room = self.slack * (1.0 + value[b][i].abs());
                    if !(low[b][i] - room <= value[b][i] && value[b][i] <= high[b][i] + room) {
                        let (lower, upper) = box_of()?;
                        return Ok(Some(format!(
                            "its box does not hold: over lower = {lower}, upper = {upper} output {i} is said to lie in [{}, {}], at x = {} \
                             it is {}",
                            low[b][i],
                            high[b][i],
                            shown(point, b)?,
                            value[b][i]
                        )));
                    }
                }
                if mask.as_ref().is_some_and(|mask| mask[b][i] == 0.0) && values[0][b][i] != values[1][b][i] {
                    let (lower, upper) = box_of()?;
                    return Ok(Some(format!(
                        "its mask does not hold: over lower = {lower}, upper = {upper} output {i} is said to be constant; at x = {} it is \
                         {}, at x = {} it is {}",
                        shown(&x, b)?,
                        values[0][b][i],
                        shown(&y, b)?,
                        values[1][b][i]
                    )));
                }
            }
        }
        Ok(None)
    }

    fn affine(&self, map: &dyn Affine, size: f64) -> Result<Option<String>> {
        let (x, other) = (self.draw(&self.layer.input, size)?, self.draw(&self.layer.input, size)?);
        let y = self.draw(&self.layer.output, 1.0)?;
        let at_x = self.layer.apply(&x)?;
        let (one, two) = (dots(&at_x, &y)?, dots(&x, &self.layer.adjoint(&y)?)?);
        let sizes = (norms(&at_x)?, norms(&y)?, norms(&x)?);
        for b in 0..BATCH {
            let room = self.slack * (1.0 + sizes.0[b] * sizes.1[b] + sizes.2[b] * sizes.1[b]);
            if !((one[b] - two[b]).abs() <= room) {
                return Ok(Some(format!(
                    "its adjoint is that of another map: for x = {}, y = {} the product of W x and y is {}, of x and W^T y {}",
                    shown(&x, b)?,
                    shown(&y, b)?,
                    one[b],
                    two[b]
                )));
            }
        }
        let mixed = self.layer.apply(&((&x * 2.0)? - &other)?)?;
        let apart = norms(&(mixed - ((&at_x * 2.0)? - self.layer.apply(&other)?)?)?)?;
        if let Some(b) = (0..BATCH).find(|b| !(apart[*b] <= self.slack * (1.0 + 4.0 * sizes.0[*b] + sizes.2[*b]))) {
            return Ok(Some(format!(
                "it is not linear: W (2 x - y) and 2 W x - W y lie {:.3e} apart for x = {}, y = {}",
                apart[b],
                shown(&x, b)?,
                shown(&other, b)?
            )));
        }
        let (reach, values) = (rows(&self.layer.apply_absolute(&x.abs()?)?)?, rows(&at_x)?);
        for b in 0..BATCH {
            if let Some(i) =
                (0..reach[b].len()).find(|i| !(values[b][*i].abs() <= reach[b][*i] * (1.0 + self.slack) + self.slack))
            {
                return Ok(Some(format!(
                    "its apply_absolute is too small: for x = {} output {i} is {}, |W| |x| is said to be {}",
                    shown(&x, b)?,
                    values[b][i],
                    reach[b][i]
                )));
            }
        }
        self.row_norms(map)
    }

    /// The norms of rows, which the adjoint gives one by one.
    fn row_norms(&self, map: &dyn Affine) -> Result<Option<String>> {
        let said = rows(&map.row_norms()?)?.remove(0);
        let outputs: usize = self.layer.output.iter().product();
        let places = outputs / self.layer.output[0];
        let step = outputs.div_ceil(ROWS);
        let first = (self.random.unit() * step as f64) as usize;
        let which: Vec<usize> = (first..outputs).step_by(step).collect();
        let mut unit = vec![0.0; which.len() * outputs];
        which.iter().enumerate().for_each(|(at, i)| unit[at * outputs + i] = 1.0);
        let shape = [&[which.len()], self.layer.output.as_slice()].concat();
        let unit = Tensor::from_vec(unit, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)?;
        let found = norms(&self.layer.adjoint(&unit)?)?;
        for (i, norm) in which.into_iter().zip(found) {
            let said = said[i / places];
            if !(norm <= said * (1.0 + self.slack) + f64::MIN_POSITIVE) {
                return Ok(Some(format!(
                    "its row_norms are too small: the row of output {i} has the norm {norm}, {said} is said for its channel"
                )));
            }
        }
        Ok(None)
    }

    fn reshape(&self, size: f64) -> Result<Option<String>> {
        let x = self.draw(&self.layer.input, size)?;
        let back = rows(&self.layer.inverse(&self.layer.forward(&x)?)?)?;
        Ok((back != rows(&x)?).then(|| "its way back leads elsewhere".to_string()))
    }
}

/// Each sample's numbers in f64.
fn rows(t: &Tensor) -> Result<Vec<Vec<f64>>> {
    t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_from(1)?.to_vec2()
}

fn norms(t: &Tensor) -> Result<Vec<f64>> {
    sample_norms(&t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?)?.to_vec1()
}

fn dots(a: &Tensor, b: &Tensor) -> Result<Vec<f64>> {
    let (a, b) = (rows(a)?, rows(b)?);
    Ok(a.iter().zip(&b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a * b).sum()).collect())
}

/// The first numbers of one sample.
fn shown(t: &Tensor, b: usize) -> Result<String> {
    let all = rows(t)?.swap_remove(b);
    let first: Vec<String> = all.iter().take(6).map(|x| format!("{x:.6}")).collect();
    Ok(format!("[{}{}]", first.join(", "), if all.len() > 6 { ", ..." } else { "" }))
}
