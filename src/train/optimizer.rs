//! Adam and SGD over named parameters, their state in the open so that a run can be continued exactly
//!
//! ```text
//! g <- g + weight_decay p  (g <- clipped to a total norm first, where asked for)
//! Adam   m <- b1 m + (1 - b1) g     v <- b2 v + (1 - b2) g^2     p <- p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//! SGD    m <- momentum m + g        p <- p - lr m                (m is g without momentum)
//! ```
//!
//! Kingma and Ba (2015). With `decoupled` the decay is p <- p - lr weight_decay p instead (AdamW, Loshchilov and Hutter 2019).

use super::adam::{Adam, adam_all};
use crate::compute::autograd::{Gradients, backward};
use crate::compute::variables::assign;
use candle_core::{Result, Tensor, Var, bail};

/// Which rule, with its constants.
#[derive(Clone, Debug, PartialEq)]
pub enum OptimizerKind {
    Adam { beta1: f64, beta2: f64, eps: f64, decoupled: bool },
    Sgd { momentum: f64 },
}

impl OptimizerKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Adam { .. } => "adam",
            Self::Sgd { .. } => "sgd",
        }
    }
}

/// An optimiser over a fixed list of parameters.
#[derive(Debug)]
pub struct Optimizer {
    pub kind: OptimizerKind,
    pub lr: f64,
    pub weight_decay: f64,
    /// Largest total norm of the gradients; larger ones are scaled down to it.
    pub clip_norm: Option<f64>,
    /// Steps taken.
    pub steps: usize,
    slots: Vec<Slot>,
}

/// One parameter and its moments: (m, v) for Adam, (m) for SGD with momentum.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Var,
    moments: Vec<Tensor>,
}

impl Optimizer {
    pub fn new(
        kind: OptimizerKind,
        parameters: &[(String, Var)],
        lr: f64,
        weight_decay: f64,
        clip_norm: Option<f64>,
    ) -> Result<Self> {
        check_rate(kind.name(), lr)?;
        let moments = match kind {
            OptimizerKind::Adam { .. } => 2,
            OptimizerKind::Sgd { momentum } => usize::from(momentum != 0.0),
        };
        let slots = parameters
            .iter()
            .map(|(name, parameter)| {
                let zero = || parameter.zeros_like();
                let moments = (0..moments).map(|_| zero()).collect::<Result<_>>()?;
                Ok(Slot { name: name.clone(), parameter: parameter.clone(), moments })
            })
            .collect::<Result<_>>()?;
        Ok(Self { kind, lr, weight_decay, clip_norm, steps: 0, slots })
    }

    /// Differentiate `loss` and take one step with the learning rate `lr` (the optimiser's own if none is given).
    /// Parameters on which the loss does not depend stay as they are.
    pub fn step(&mut self, loss: &Tensor, lr: Option<f64>) -> Result<()> {
        if loss.elem_count() != 1 {
            bail!("step: the loss must be one number, it has shape {:?}; reduce it with mean() or sum()", loss.dims());
        }
        self.apply(&backward(loss)?, lr)
    }

    /// One step with gradients that are there already.
    pub fn apply(&mut self, gradients: &Gradients, lr: Option<f64>) -> Result<()> {
        let lr = lr.unwrap_or(self.lr);
        check_rate("step", lr)?;
        self.steps += 1;
        let scale = self.clip_scale(gradients)?;
        let decoupled = matches!(self.kind, OptimizerKind::Adam { decoupled: true, .. });
        let mut steps = vec![];
        for slot in &mut self.slots {
            let Some(g) = gradients.get(slot.parameter.as_tensor()) else { continue };
            let p = slot.parameter.as_tensor();
            let mut g = g.detach();
            if let Some(scale) = &scale {
                g = g.broadcast_mul(&scale.to_dtype(g.dtype())?)?;
            }
            if self.weight_decay != 0.0 && !decoupled {
                g = (g + (p.detach() * self.weight_decay)?)?;
            }
            match self.kind {
                OptimizerKind::Adam { .. } => steps.push((&slot.parameter, slot.moments.as_mut_slice(), g)),
                OptimizerKind::Sgd { momentum } => {
                    let m = match slot.moments.first() {
                        Some(m) => ((m * momentum)? + &g)?,
                        None => g,
                    };
                    if let Some(kept) = slot.moments.first_mut() {
                        *kept = m.clone();
                    }
                    assign(&slot.parameter, &(p.detach() - (m * lr)?)?)?;
                }
            }
        }
        if let OptimizerKind::Adam { beta1, beta2, eps, .. } = self.kind {
            let kept = if decoupled { 1.0 - lr * self.weight_decay } else { 1.0 };
            adam_all(steps, &Adam { beta1, beta2, eps, t: self.steps as i32, lr, kept })?;
        }
        Ok(())
    }

    /// The parameters by name.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), &slot.parameter))
    }

    /// A copy of the state by name: `m/0.weight`, `v/0.weight`, ...; with [`Self::steps`] it is all there is.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let named = |slot: &Slot| {
            let names = ["m", "v"].map(|m| format!("{m}/{}", slot.name));
            names.into_iter().zip(slot.moments.iter().map(Tensor::copy)).map(|(n, m)| Ok((n, m?))).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(named).collect()
    }

    /// Put back what [`Self::state`] gave.
    pub fn set_state(&mut self, steps: usize, state: &std::collections::HashMap<String, Tensor>) -> Result<()> {
        let mut restored = vec![];
        for slot in &self.slots {
            let mut moments = vec![];
            for (old, m) in slot.moments.iter().zip(["m", "v"]) {
                let name = format!("{m}/{}", slot.name);
                match state.get(&name) {
                    Some(t) if t.dims() == old.dims() => {
                        moments.push(t.to_dtype(old.dtype())?.to_device(old.device())?.copy()?);
                    }
                    Some(t) => bail!("set_state: `{name}` has shape {:?}, {:?} is wanted", t.dims(), old.dims()),
                    None => bail!("set_state: `{name}` is missing"),
                }
            }
            restored.push(moments);
        }
        self.slots.iter_mut().zip(restored).for_each(|(slot, moments)| slot.moments = moments);
        self.steps = steps;
        Ok(())
    }

    /// `min(1, clip_norm / ||g||)` over all gradients together, on the device.
    fn clip_scale(&self, gradients: &Gradients) -> Result<Option<Tensor>> {
        let Some(limit) = self.clip_norm else { return Ok(None) };
        let mut squares: Option<Tensor> = None;
        for slot in &self.slots {
            if let Some(g) = gradients.get(slot.parameter.as_tensor()) {
                let own = g.detach().to_dtype(candle_core::DType::F64)?.sqr()?.sum_all()?;
                squares = Some(match squares {
                    Some(sum) => (sum + own)?,
                    None => own,
                });
            }
        }
        squares.map(|s| (s.sqrt()?.recip()? * limit)?.minimum(1.0)).transpose()
    }
}

fn check_rate(op: &str, lr: f64) -> Result<()> {
    if lr.is_finite() && lr >= 0.0 {
        return Ok(());
    }
    bail!("{op}: the learning rate is {lr}; it must be a finite number of at least 0")
}
