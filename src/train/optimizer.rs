//! Adam, NAdam and SGD over named parameters, their state in the open so that a run can be continued exactly
//!
//! ```text
//! g <- g + weight_decay p  (g <- clipped to a total norm first, where asked for)
//! Adam   m <- b1 m + (1 - b1) g     v <- b2 v + (1 - b2) g^2     p <- p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//! NAdam  the same with momentum that warms up and looks ahead: see `adam`
//! SGD    m <- momentum m + g        p <- p - lr m                (m is g without momentum)
//! ```
//!
//! Kingma and Ba (2015). With `decoupled` the decay is p <- p - lr weight_decay p instead (AdamW, Loshchilov and Hutter 2019). With
//! [`Lookahead`] slow weights follow, behind every so many steps.

use super::adam::{Adam, Momenta, adam_all};
use super::lookahead::Lookahead;
use super::together::{Dealt, Together};
use crate::compute::autograd::{Gradients, backward};
use crate::compute::gpu::recording::moved;
use crate::compute::variables::assign;
use candle_core::{Result, Tensor, Var, bail};

/// Which rule, with its constants.
#[derive(Clone, Debug, PartialEq)]
pub enum OptimizerKind {
    Adam { beta1: f64, beta2: f64, eps: f64, decoupled: bool },
    Nadam { beta1: f64, beta2: f64, eps: f64, momentum_decay: f64, decoupled: bool },
    Sgd { momentum: f64 },
}

impl OptimizerKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Adam { decoupled: true, .. } => "adamw",
            Self::Adam { .. } => "adam",
            Self::Nadam { .. } => "nadam",
            Self::Sgd { .. } => "sgd",
        }
    }

    /// Does weight decay bear on the parameters themselves, not on the gradients?
    fn decoupled(&self) -> bool {
        matches!(self, Self::Adam { decoupled: true, .. } | Self::Nadam { decoupled: true, .. })
    }

    /// Its momenta after so many steps, if they are not all one number.
    fn momenta(&self, steps: usize) -> Option<Momenta> {
        match *self {
            Self::Nadam { beta1, momentum_decay, .. } => Some(Momenta::after(steps, beta1, momentum_decay)),
            _ => None,
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
    lookahead: Option<Lookahead>,
    momenta: Option<Momenta>,
    slots: Vec<Slot>,
    together: Together,
    /// Is it over what one process has alone, such as an attack's points? Then its steps are that process's.
    pub is_local: bool,
}

/// One parameter and its moments: (m, v) for Adam, (m) for SGD with momentum. With lookahead its slow value behind them.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Var,
    moments: Vec<Tensor>,
    slow: Option<Tensor>,
}

impl Slot {
    /// What is kept of it, by name.
    fn kept(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let moments = ["m", "v"].into_iter().zip(&self.moments);
        moments.chain(self.slow.iter().map(|slow| ("slow", slow))).map(|(what, t)| (format!("{what}/{}", self.name), t))
    }
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
            OptimizerKind::Adam { .. } | OptimizerKind::Nadam { .. } => 2,
            OptimizerKind::Sgd { momentum } => usize::from(momentum != 0.0),
        };
        let slots = parameters
            .iter()
            .map(|(name, parameter)| {
                let zero = || parameter.zeros_like();
                let moments = (0..moments).map(|_| zero()).collect::<Result<_>>()?;
                Ok(Slot { name: name.clone(), parameter: parameter.clone(), moments, slow: None })
            })
            .collect::<Result<_>>()?;
        let momenta = kind.momenta(0);
        Ok(Self {
            kind,
            lr,
            weight_decay,
            clip_norm,
            steps: 0,
            lookahead: None,
            momenta,
            slots,
            together: Together::default(),
            is_local: false,
        })
    }

    /// From now on with slow weights, which begin where the parameters are.
    pub fn look_ahead(&mut self, lookahead: Lookahead) -> Result<()> {
        if self.steps > 0 {
            bail!("lookahead: the optimiser has taken {} steps; wrap it before its first", self.steps);
        }
        if let Some(Lookahead { steps, share }) = self.lookahead {
            bail!("lookahead: the optimiser has it already, steps {steps} and share {share}; wrap it once");
        }
        for slot in &mut self.slots {
            slot.slow = Some(slot.parameter.as_tensor().detach().copy()?);
        }
        self.lookahead = Some(lookahead);
        Ok(())
    }

    /// Rule, constants and wrappers: what must be the same for a state to be put back.
    pub fn describe(&self) -> String {
        match self.lookahead {
            Some(lookahead) => format!("{:?} with {lookahead:?}", self.kind),
            None => format!("{:?}", self.kind),
        }
    }

    /// Differentiate `loss` and take one step with the learning rate `lr` (the optimiser's own if none is given).
    /// Parameters on which the loss does not depend stay as they are.
    pub fn step(&mut self, loss: &Tensor, lr: Option<f64>) -> Result<()> {
        self.step_in(loss, lr, None)
    }

    /// The same for a part of a batch that is dealt out: the step is taken with the last of its parts, by what all of them found.
    pub fn step_in(&mut self, loss: &Tensor, lr: Option<f64>, dealt: Option<&Dealt>) -> Result<()> {
        if loss.elem_count() != 1 {
            bail!("step: the loss must be one number, it has shape {:?}; reduce it with mean() or sum()", loss.dims());
        }
        self.apply(&backward(loss)?, lr, dealt)
    }

    /// One step with gradients that are there already.
    pub fn apply(&mut self, gradients: &Gradients, lr: Option<f64>, dealt: Option<&Dealt>) -> Result<()> {
        let lr = lr.unwrap_or(self.lr);
        check_rate("step", lr)?;
        let found = self.slots.iter().map(|slot| gradients.get(slot.parameter.as_tensor()).map(Tensor::detach));
        let mut found: Vec<Option<Tensor>> = found.collect();
        if let Some(dealt) = dealt.filter(|_| !self.is_local) {
            let like: Vec<&Tensor> = self.slots.iter().map(|slot| slot.parameter.as_tensor()).collect();
            match self.together.add(dealt, &like, &found)? {
                Some(all) => found = all,
                None => return Ok(()),
            }
        }
        let rule = self.advance(lr);
        self.moved(found, lr, rule.as_ref(), None)?;
        if let Some(lookahead) = self.lookahead.filter(|lookahead| self.steps.is_multiple_of(lookahead.steps)) {
            for slot in &mut self.slots {
                if let Some(slow) = &mut slot.slow {
                    lookahead.meet(slow, &slot.parameter)?;
                }
            }
        }
        Ok(())
    }

    /// One more step is taken: the constants of Adam's or NAdam's.
    fn advance(&mut self, lr: f64) -> Option<Adam> {
        self.steps += 1;
        let (OptimizerKind::Adam { beta1, beta2, eps, .. } | OptimizerKind::Nadam { beta1, beta2, eps, .. }) =
            self.kind
        else {
            return None;
        };
        let kept = if self.kind.decoupled() { 1.0 - lr * self.weight_decay } else { 1.0 };
        let t = self.steps as i32;
        let (first, ahead) = self.momenta.as_mut().map_or((1.0 - beta1.powi(t), 0.0), Momenta::step);
        Some(Adam { beta1, beta2, eps, first, second: 1.0 - beta2.powi(t), ahead, lr, kept })
    }

    /// Can its steps be recorded: does nothing but Adam's or NAdam's constants change from one to the next?
    pub fn can_be_recorded(&self) -> bool {
        let of_adam = matches!(self.kind, OptimizerKind::Adam { .. } | OptimizerKind::Nadam { .. });
        of_adam && self.lookahead.is_none() && !self.is_local
    }

    /// How many constants a recorded step reads.
    pub const TOLD: usize = 5;

    /// The constants of the next step, which counts as taken.
    pub fn next(&mut self, lr: Option<f64>) -> Result<[f64; Self::TOLD]> {
        let lr = lr.unwrap_or(self.lr);
        check_rate("step", lr)?;
        match self.advance(lr) {
            Some(rule) => Ok(rule.told()),
            None => bail!("step: steps of {} are not recorded", self.kind.name()),
        }
    }

    /// What a step by `loss` asks of the device, with constants that are read from `told` when it runs; [`Self::next`] counts it.
    pub fn record(&mut self, loss: &Tensor, told: &Tensor) -> Result<()> {
        let gradients = backward(loss)?;
        let found = self.slots.iter().map(|slot| gradients.get(slot.parameter.as_tensor()).map(Tensor::detach));
        let found = found.collect();
        let (OptimizerKind::Adam { beta1, beta2, eps, .. } | OptimizerKind::Nadam { beta1, beta2, eps, .. }) =
            self.kind
        else {
            bail!("step: steps of {} are not recorded", self.kind.name());
        };
        let rule = Adam { beta1, beta2, eps, first: 1.0, second: 1.0, ahead: 0.0, lr: 0.0, kept: 1.0 };
        self.moved(found, 0.0, Some(&rule), Some(told))
    }

    /// Parameters and moments moved by their gradients.
    fn moved(&mut self, found: Vec<Option<Tensor>>, lr: f64, rule: Option<&Adam>, told: Option<&Tensor>) -> Result<()> {
        let scale = self.clip_scale(&found)?;
        let decoupled = self.kind.decoupled();
        let mut steps = vec![];
        for (slot, g) in self.slots.iter_mut().zip(found) {
            let Some(mut g) = g else { continue };
            let p = slot.parameter.as_tensor();
            if let Some(scale) = &scale {
                g = g.broadcast_mul(&scale.to_dtype(g.dtype())?)?;
            }
            if self.weight_decay != 0.0 && !decoupled {
                g = (g + (p.detach() * self.weight_decay)?)?;
            }
            match self.kind {
                OptimizerKind::Adam { .. } | OptimizerKind::Nadam { .. } => {
                    steps.push((&slot.parameter, slot.moments.as_mut_slice(), g))
                }
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
        rule.map_or(Ok(()), |rule| adam_all(steps, rule, told))
    }

    /// The parameters by name.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), &slot.parameter))
    }

    /// A copy of the state by name: `m/0.weight`, `v/0.weight`, ..., `slow/0.weight` with lookahead; with [`Self::steps`] it is all
    /// there is.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        self.slots.iter().flat_map(Slot::kept).map(|(name, t)| Ok((name, t.copy()?))).collect()
    }

    /// Put back what [`Self::state`] gave.
    pub fn set_state(&mut self, steps: usize, state: &std::collections::HashMap<String, Tensor>) -> Result<()> {
        let mut restored = vec![];
        for slot in &self.slots {
            let mut kept = vec![];
            for (name, old) in slot.kept() {
                match state.get(&name) {
                    Some(t) if t.dims() == old.dims() => {
                        kept.push(t.to_dtype(old.dtype())?.to_device(old.device())?.copy()?);
                    }
                    Some(t) => bail!("set_state: `{name}` has shape {:?}, {:?} is wanted", t.dims(), old.dims()),
                    None => bail!("set_state: `{name}` is missing"),
                }
            }
            restored.push(kept);
        }
        for (slot, mut kept) in self.slots.iter_mut().zip(restored) {
            slot.slow = slot.slow.is_some().then(|| kept.pop()).flatten();
            slot.moments = kept;
        }
        moved();
        self.momenta = self.kind.momenta(steps);
        self.steps = steps;
        Ok(())
    }

    /// `min(1, clip_norm / ||g||)` over all gradients together, on the device.
    fn clip_scale(&self, gradients: &[Option<Tensor>]) -> Result<Option<Tensor>> {
        let Some(limit) = self.clip_norm else { return Ok(None) };
        let mut squares: Option<Tensor> = None;
        for g in gradients.iter().flatten() {
            let own = g.to_dtype(candle_core::DType::F64)?.sqr()?.sum_all()?;
            squares = Some(match squares {
                Some(sum) => (sum + own)?,
                None => own,
            });
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
