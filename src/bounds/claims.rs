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

#![expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN refutes a claim")]

use crate::base::random::Generator;
use crate::compute::autograd::{backward, mul};
use crate::compute::norms::samples::{per_sample, sample_norms};
use crate::nn::layers::{Activation, Affine, Choice, Side, image};
use crate::nn::{Layer, Role};
use candle_core::{DType, Device, Result, Tensor, Var};

/// Images at once, sizes of what they hold, and repetitions.
const BATCH: usize = 8;
const SIZES: [f64; 4] = [0.01, 0.3, 1.0, 10.0];
const TURNS: usize = 6;
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
                // Its layers are tried one by one.
                Role::Branches(_) => None,
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
        // All at once, one number alone, and along the steepest way that a few steps find.
        for other in [y.clone(), self.one_moved(&x, &half)?, self.steepest(f, &x, size)?] {
            if let Some(why) = self.too_steep(f, &x, &other)? {
                return Ok(Some(why));
            }
        }
        if let Some(why) = self.lines(f, &x, &y, &half)? {
            return Ok(Some(why));
        }
        self.box_and_mask(f, &x, &y, &half)
    }

    /// Its lines over the box around `x` at two points of it.
    fn lines(&self, f: &dyn Activation, x: &Tensor, y: &Tensor, half: &Tensor) -> Result<Option<String>> {
        let Some(lines) = f.lines() else { return Ok(None) };
        let found = lines.over(&(x - half)?, &(x + half)?, &Choice::default())?;
        for point in [x, y] {
            let [low, high] = found.at(point)?;
            let (low, high) = (rows(&low)?, rows(&high)?);
            for (b, values) in rows(&f.forward(point)?)?.into_iter().enumerate() {
                for (i, value) in values.into_iter().enumerate() {
                    let room = self.slack * (value.abs() + low[b][i].abs() + high[b][i].abs());
                    if !(low[b][i] - room <= value && value <= high[b][i] + room) {
                        return Ok(Some(format!(
                            "its lines do not hold: output {i} is said to lie between {} and {} at x = {}, it is {value}",
                            low[b][i],
                            high[b][i],
                            shown(point, b)?
                        )));
                    }
                }
            }
        }
        Ok(None)
    }

    /// `x` with one number of each sample moved by its half-width.
    fn one_moved(&self, x: &Tensor, half: &Tensor) -> Result<Tensor> {
        let n = self.layer.input_len();
        let mut one = vec![0.0; BATCH * n];
        for b in 0..BATCH {
            let at = ((self.random.unit() * n as f64) as usize).min(n - 1);
            one[b * n + at] = if self.random.unit() < 0.5 { -1.0 } else { 1.0 };
        }
        let one = Tensor::from_vec(one, x.shape(), &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)?;
        x + (half * one)?
    }

    /// `x` moved a little along the right singular vector of the slope there, by power iteration on differences and gradients.
    fn steepest(&self, f: &dyn Activation, x: &Tensor, size: f64) -> Result<Tensor> {
        let step = 1e-3 * size;
        let unit = |t: &Tensor| -> Result<Tensor> {
            let norms = (sample_norms(t)?.to_dtype(t.dtype())? + f64::from(f32::MIN_POSITIVE))?;
            t.broadcast_div(&per_sample(&norms, t)?)
        };
        let mut way = unit(&self.draw(&self.layer.input, 1.0)?)?;
        for _ in 0..3 {
            let moved = unit(&(f.forward(&(x + (&way * step)?)?)? - f.forward(x)?)?.detach())?;
            let at = Var::from_tensor(x)?;
            let gradients = backward(&mul(&f.forward(at.as_tensor())?, &moved)?)?;
            let Some(gradient) = gradients.get(at.as_tensor()) else { break };
            way = unit(&gradient.detach())?;
        }
        x + (way * step)?
    }

    fn too_steep(&self, f: &dyn Activation, x: &Tensor, y: &Tensor) -> Result<Option<String>> {
        let (at_x, at_y) = (f.forward(x)?, f.forward(y)?);
        let (moved, way) = (norms(&(&at_x - &at_y)?)?, norms(&(x - y)?)?);
        let sizes = (norms(&at_x)?, f.facts().lipschitz);
        for b in 0..BATCH {
            // The values' own roundings.
            let room = self.slack * (1e-3 * sizes.0[b] + sizes.1 * way[b]);
            if !(moved[b] <= sizes.1 * way[b] + room) {
                return Ok(Some(format!(
                    "its Lipschitz constant is more than the {:?} that it says: x = {} and y = {} lie {:.6e} apart, their values {:.6e}",
                    sizes.1,
                    shown(x, b)?,
                    shown(y, b)?,
                    way[b],
                    moved[b]
                )));
            }
        }
        Ok(None)
    }

    fn box_and_mask(&self, f: &dyn Activation, x: &Tensor, y: &Tensor, half: &Tensor) -> Result<Option<String>> {
        let (lower, upper) = ((x - half)?, (x + half)?);
        let [low, high] = image(f, &lower, &upper)?;
        let values = [f.forward(x)?, f.forward(y)?];
        let mask = match f.clipping() {
            Some(clipping) if clipping.side() == Side::Before => Some(clipping.varying(&lower, &upper)?),
            Some(_) | None => None,
        };
        // Where the mask says that nothing changes, another input there changes nothing either.
        let mixed = match &mask {
            Some(mask) => Some((f.forward(&mask.where_cond(x, y)?)?, mask)),
            None => None,
        };
        let (low, high, values) = (rows(&low)?, rows(&high)?, [rows(&values[0])?, rows(&values[1])?]);
        let mixed = mixed.map(|(mixed, mask)| Ok::<_, candle_core::Error>((rows(&mixed)?, rows(mask)?))).transpose()?;
        for b in 0..BATCH {
            let over = || {
                Ok::<_, candle_core::Error>(format!(
                    "over lower = {}, upper = {}",
                    shown(&lower, b)?,
                    shown(&upper, b)?
                ))
            };
            for i in 0..low[b].len() {
                for (point, value) in [x, y].into_iter().zip(&values) {
                    let room = self.slack * value[b][i].abs();
                    if !(low[b][i] - room <= value[b][i] && value[b][i] <= high[b][i] + room) {
                        return Ok(Some(format!(
                            "its box does not hold: {} output {i} is said to lie in [{}, {}], at x = {} it is {}",
                            over()?,
                            low[b][i],
                            high[b][i],
                            shown(point, b)?,
                            value[b][i]
                        )));
                    }
                }
                let Some((mixed, mask)) = &mixed else { continue };
                if mask[b][i] == 0.0 && values[0][b][i] != values[1][b][i] {
                    return Ok(Some(format!(
                        "its mask does not hold: {} output {i} is said to be constant; at x = {} it is {}, at x = {} it is {}",
                        over()?,
                        shown(x, b)?,
                        values[0][b][i],
                        shown(y, b)?,
                        values[1][b][i]
                    )));
                }
                if mixed[b][i] != values[0][b][i] {
                    return Ok(Some(format!(
                        "its mask is not element by element: {} output {i} changes from {} to {} with inputs whose own outputs are said to be \
                         constant, at x = {}; write `varying: ()`",
                        over()?,
                        values[0][b][i],
                        mixed[b][i],
                        shown(x, b)?
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
        let back = self.layer.adjoint(&y)?;
        let (one, two) = (dots(&at_x, &y)?, dots(&x, &back)?);
        let sizes = (norms(&at_x)?, norms(&y)?, norms(&x)?, norms(&back)?);
        for b in 0..BATCH {
            let room = self.slack * (sizes.0[b] * sizes.1[b] + sizes.2[b] * sizes.3[b]);
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
        let at_other = self.layer.apply(&other)?;
        let mixed = self.layer.apply(&((&x * 2.0)? - (&other * 3.0)?)?)?;
        let apart = norms(&(&mixed - ((&at_x * 2.0)? - (&at_other * 3.0)?)?)?)?;
        let reached = (norms(&mixed)?, norms(&at_other)?);
        let room = |b: usize| self.slack * (reached.0[b] + 2.0 * sizes.0[b] + 3.0 * reached.1[b]);
        if let Some(b) = (0..BATCH).find(|b| !(apart[*b] <= room(*b))) {
            return Ok(Some(format!(
                "it is not linear: W (2 x - 3 y) and 2 W x - 3 W y lie {:.3e} apart for x = {}, y = {}",
                apart[b],
                shown(&x, b)?,
                shown(&other, b)?
            )));
        }
        if let Some(why) = self.absolute(&x)? {
            return Ok(Some(why));
        }
        self.row_norms(map, &x)
    }

    /// `|W x| <= |W| |x|`.
    fn absolute(&self, x: &Tensor) -> Result<Option<String>> {
        let (reach, values) = (rows(&self.layer.apply_absolute(&x.abs()?)?)?, rows(&self.layer.apply(x)?)?);
        for (b, (reach, values)) in reach.iter().zip(&values).enumerate() {
            if let Some(i) = (0..reach.len()).find(|i| !(values[*i].abs() <= reach[*i] * (1.0 + self.slack))) {
                return Ok(Some(format!(
                    "its apply_absolute is too small: for x = {} output {i} is {}, |W| |x| is said to be {}",
                    shown(x, b)?,
                    values[i],
                    reach[i]
                )));
            }
        }
        Ok(None)
    }

    /// Rows, which the adjoint gives one by one: their norms, and |W| where all of a row's products have one sign.
    fn row_norms(&self, map: &dyn Affine, x: &Tensor) -> Result<Option<String>> {
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
        let found = self.layer.adjoint(&unit)?;
        let signs = (found.ge(0.0)?.to_dtype(self.dtype)? * 2.0)?.affine(1.0, -1.0)?;
        let worst = signs.broadcast_mul(&x.narrow(0, 0, 1)?.abs()?)?;
        if let Some(why) = self.absolute(&worst)? {
            return Ok(Some(why));
        }
        for (i, norm) in which.into_iter().zip(norms(&found)?) {
            let said = said[i / places];
            if !(norm <= said * (1.0 + self.slack)) {
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
